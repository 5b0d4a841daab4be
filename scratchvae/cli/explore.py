"""scratchvae explore: the latent space of a run as a page in which its decoder runs."""

import argparse
from pathlib import Path

from scratchvae.backend import get_backend
from scratchvae.cli.common import data_of_run, print_result
from scratchvae.cli.explain import add_page_arguments, link_from_report
from scratchvae.cli.parser import Commands, add_command
from scratchvae.pages.explorer import write_explorer
from scratchvae.pages.single_file import require_new
from scratchvae.runs import RunFolder, Snapshots
from scratchvae.training import prepare


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "explore",
        run,
        help="a page in which the decoder runs: walk through the latent space",
        description="Write a page in which encoder and decoder run: a latent plane to drag over, "
        "or a slider for each unit; an image of your own through the model, its ELBO split into "
        "terms; interpolation; and the plane after earlier epochs, where the run kept them. The "
        "page is one file and needs no server.",
        examples=["scratchvae explore runs/digits-1 -o explorer.html"],
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    add_page_arguments(parser, "explorer.html")


def run(args: argparse.Namespace) -> int:
    """Write the page as the arguments say."""
    folder = RunFolder.open(args.run)
    config = folder.config()
    out = args.out or folder.path / "explorer.html"
    require_new(out)
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    model, checkpoint = folder.load(get_backend("cpu", config.dtype))
    prepared = prepare(config, dataset, vae=model.vae)
    snapshots = Snapshots.load(folder.snapshots_path)
    name = folder.path.resolve().name
    size = write_explorer(out, name, model, checkpoint, prepared, snapshots)
    link_from_report(folder, out, prepared, model)
    print_result(args.json, {"file": str(out), "bytes": size}, f"{out}: {size / 1e6:.2f} MB")
    return 0
