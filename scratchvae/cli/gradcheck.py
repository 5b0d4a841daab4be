"""scratchvae gradcheck: check every hand-written gradient."""

import argparse
from typing import Any

from scratchvae.cli.common import Commands, print_message
from scratchvae.errors import ConfigError

EXAMPLES = """examples:
  scratchvae gradcheck
  scratchvae gradcheck --only relu --method central
  scratchvae gradcheck --thorough --json
  scratchvae gradcheck --planted-bugs
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "gradcheck",
        help="check every hand-written gradient",
        description="Check every operation, likelihood, model and optimizer; print one table.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--method",
        default="complex",
        help="complex, central, five_point or richardson (default: complex)",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only the operations whose names contain this; may be repeated",
    )
    parser.add_argument(
        "--planted-bugs",
        action="store_true",
        help="plant thousands of bugs in our own gradients and count those that are found "
        "(about a minute)",
    )
    parser.add_argument("--thorough", action="store_true", help="at more points")
    parser.add_argument("--json", action="store_true", help="print one JSON object to stdout")
    parser.add_argument("--quiet", action="store_true", help="print nothing; the exit code says it")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Check as the arguments say; 1 when anything is wrong."""
    from scratchvae.selfcheck import run_registry

    found: Any
    if args.planted_bugs:
        from scratchvae.selfcheck.mutation import run_planted

        if args.only or args.thorough or args.method != "complex":
            raise ConfigError("--planted-bugs goes with neither --method, --only nor --thorough")
        found, wrong = run_planted(), "a planted bug was not found"
    else:
        found, wrong = run_registry(args.method, args.only, args.thorough), "a gradient is wrong"
    if not args.quiet:
        print(found.to_json() if args.json else found.table())
    if found.failed:
        print_message(wrong, args.quiet)
    return 1 if found.failed else 0
