"""scratchvae compare: runs beside each other, in a table and on a page."""

import argparse
from pathlib import Path

from scratchvae.cli.common import (
    add_device_arguments,
    add_output_arguments,
    backend_of_run,
    data_of_run,
    print_message,
    print_result,
)
from scratchvae.cli.parser import Commands, add_command
from scratchvae.errors import RunError
from scratchvae.pages.comparison import (
    ComparedRun,
    Comparison,
    evaluated,
    require_runs,
    write_comparison,
)
from scratchvae.pages.single_file import require_new
from scratchvae.runs import RunFolder
from scratchvae.training import prepare


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "compare",
        run,
        help="compare runs, in a table and on a page",
        description="Print what differs in the settings of two runs or more, and what they are "
        "worth on their test images: ELBO with its protocol, KL, and the KL of each latent unit. "
        "With -o also a page with their curves in one axes and the same images by each. Where "
        "ELBOs cannot be compared, because data, binarization or likelihood differ, it says so.",
        examples=[
            "scratchvae compare runs/digits-1 runs/digits-2",
            "scratchvae compare runs/beta-1 runs/beta-4 -o beta.html",
        ],
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders, 2 to 6")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE.html",
                        help="a new file for the page (default: the table alone)")  # fmt: skip
    add_device_arguments(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compare as the arguments say."""
    require_runs(args.runs)
    if args.out is not None:  # before minutes of evaluation
        require_new(args.out)
        if not args.out.parent.is_dir():
            raise RunError(f"{args.out} cannot be written: {args.out.parent} is no folder")
    comparison = Comparison(tuple(evaluate_run(args, RunFolder.open(path)) for path in args.runs))
    for warning in comparison.warnings:
        print_message(f"note: {warning}", args.quiet)
    content, words = comparison.to_json(), comparison.to_text()
    if args.out is not None:
        write_comparison(args.out, comparison)
        content["page"] = str(args.out)
        words += f"\npage: {args.out}"
    print_result(args.json, content, words)
    return 0


def evaluate_run(args: argparse.Namespace, folder: RunFolder) -> ComparedRun:
    """A run with its model and its numbers."""
    config = folder.config()
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    model, checkpoint = folder.load(backend_of_run(args, folder, config.dtype))
    return evaluated(folder, model, checkpoint, prepare(config, dataset, vae=model.vae))
