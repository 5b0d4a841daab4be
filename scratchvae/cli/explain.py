"""scratchvae explain: one training step of a run as a page, number by number."""

import argparse
from pathlib import Path

from scratchvae.backend import get_backend
from scratchvae.cli.common import add_output_arguments, data_of_run, print_result, require_count
from scratchvae.cli.parser import Commands, add_command
from scratchvae.models import Model
from scratchvae.pages import write_run_report
from scratchvae.pages.explain import write_explanation
from scratchvae.pages.single_file import require_new
from scratchvae.runs import RunFolder
from scratchvae.training import Prepared, prepare


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "explain",
        run,
        help="show one training step number by number, as a page",
        description="Write a page that shows one training step of a small VAE and of the run's own "
        "model: every array on its way forward and back, its equation, its code, and beside each "
        "gradient the complex step. The page is one file and needs no server.",
        examples=[
            "scratchvae explain runs/digits-1 -o step.html",
            "scratchvae explain runs/digits-1 --image 7 -o seven.html",
        ],
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--image", type=int, default=0, metavar="N",
                        help="the training image of the step (default: 0)")  # fmt: skip
    add_page_arguments(parser, "explain.html")


def add_page_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """--out, --data-dir, and what every command has."""
    parser.add_argument("-o", "--out", type=Path, metavar="FILE",
                        help=f"the page, a new file (default: {name} in the run)")  # fmt: skip
    parser.add_argument("--data-dir", type=Path, metavar="DIR",
                        help="folder of the mnist or fashion-mnist files (default: as in "
                        "training)")  # fmt: skip
    add_output_arguments(parser)


def link_from_report(run: RunFolder, page: Path, prepared: Prepared, model: Model) -> None:
    """Write the report of a run again, where it has one, if ``page`` now lies beside it."""
    if run.report_path.exists() and page.resolve().parent == run.path.resolve():
        write_run_report(run, prepared, model)


def run(args: argparse.Namespace) -> int:
    """Write the page as the arguments say."""
    require_count("--image", args.image, least=0)
    folder = RunFolder.open(args.run)
    config = folder.config()
    out = args.out or folder.path / "explain.html"
    require_new(out)
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    model, checkpoint = folder.load(get_backend("cpu", config.dtype))
    prepared = prepare(config, dataset, vae=model.vae)
    name = folder.path.resolve().name
    size = write_explanation(out, name, model, checkpoint, prepared, args.image)
    link_from_report(folder, out, prepared, model)
    print_result(args.json, {"file": str(out), "bytes": size}, f"{out}: {size / 1e6:.2f} MB")
    return 0
