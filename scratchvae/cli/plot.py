"""scratchvae plot: draw the figures of a run again."""

import argparse
from pathlib import Path

from scratchvae.cli.common import (
    add_device_arguments,
    add_output_arguments,
    backend_of_run,
    data_of_run,
    print_result,
)
from scratchvae.cli.parser import Commands, add_command
from scratchvae.cli.train_folder import caption_of
from scratchvae.pages import write_run_report
from scratchvae.runs import RunFolder, Snapshots
from scratchvae.training import prepare


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "plot",
        run,
        help="draw the figures of a run",
        description="Draw all figures of a run from its checkpoint, as PNG and SVG. Where they "
        "replace those in the run's own folder, its report.html is written again, too.",
        examples=["scratchvae plot runs/digits-1 --out talk/figures"],
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="a folder for the figures (default: figures/ in the run)")  # fmt: skip
    add_device_arguments(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draw as the arguments say."""
    from scratchvae.figures import draw_run

    folder = RunFolder.open(args.run)
    config = folder.config()
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    bk = backend_of_run(args, folder, config.dtype)
    model, checkpoint = folder.load(bk)
    metrics = folder.metrics()
    drawn = metrics[: checkpoint.epoch]
    caption = caption_of(model, config, dataset, drawn)
    target = args.out or folder.figures_path
    snapshots = Snapshots.load(folder.snapshots_path)
    prepared = prepare(config, dataset, vae=model.vae)
    paths = draw_run(target, model, prepared, metrics, caption, snapshots)
    if args.out is None:
        paths.append(write_run_report(folder, prepared, model))
    print_result(args.json, {"files": [str(p) for p in paths]}, "\n".join(map(str, paths)))
    return 0
