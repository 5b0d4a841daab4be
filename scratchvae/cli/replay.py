"""scratchvae replay: run again the step that was not finite, and say which array was first."""

import argparse
from pathlib import Path

from scratchvae.cli.common import add_output_arguments, print_result
from scratchvae.cli.parser import Commands, add_command
from scratchvae.training.nonfinite.replay import load_replay
from scratchvae.training.nonfinite.report import run_again


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "replay",
        run,
        help="find the first infinity or NaN of a training that stopped",
        description="Repeat the step that was not finite, from the file that the training left, "
        "in its float type and in float64; name the first array that holds an infinity or NaN, "
        "its layer and its equation (docs/derivations.md). Needs no data set. Exit code 1 if "
        "every array is finite this time.",
        examples=[
            "scratchvae replay runs/digits-1/nonfinite.npz",
            "scratchvae replay runs/digits-1/nonfinite.npz --json",
        ],
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the nonfinite.npz of a run")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run it again, and say what was seen."""
    report = run_again(load_replay(args.file))
    print_result(args.json, report.to_json(), report.text())
    return 0 if report.first_nonfinite is not None else 1
