"""scratchvae replay: run again the step that was not finite, and say which array was first."""

import argparse
from pathlib import Path

from scratchvae.cli.common import Commands, add_output_arguments, print_result
from scratchvae.training.nonfinite.diagnosis import diagnose
from scratchvae.training.nonfinite.replay import load_replay

EXAMPLES = """examples:
  scratchvae replay runs/digits-1/nonfinite.npz
  scratchvae replay runs/digits-1/nonfinite.npz --json
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "replay",
        help="find the first infinity or NaN of a training that stopped",
        description="Run again the step that was not finite, from the file that the training "
        "left, in its float type and in float64; name the first array that holds an infinity or "
        "NaN, its layer and its equation (docs/derivations.md). Needs no data set. The exit code "
        "is 1 where every array is finite this time.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the nonfinite.npz of a run")
    add_output_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Run it again, and say what was seen."""
    diagnosis = diagnose(load_replay(args.file))
    print_result(args.json, diagnosis.to_json(), diagnosis.text())
    return 0 if diagnosis.first_nonfinite is not None else 1
