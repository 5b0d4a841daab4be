"""scratchvae gradcheck: check every hand-written gradient."""

import argparse
from typing import Any

from scratchvae.commands.common import say

EXAMPLES = """examples:
  scratchvae gradcheck
  scratchvae gradcheck --only relu --method central
  scratchvae gradcheck --thorough --json
"""


def add_parser(commands: Any) -> None:
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
    parser.add_argument("--thorough", action="store_true", help="at more points")
    parser.add_argument("--json", action="store_true", help="print one JSON object to stdout")
    parser.add_argument("--quiet", action="store_true", help="print nothing; the exit code says it")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Check as the arguments say; 1 when anything is wrong."""
    from scratchvae.gradcheck import run_registry

    results = run_registry(args.method, args.only, args.thorough)
    if not args.quiet:
        print(results.to_json() if args.json else results.table())
    if results.failed:
        say("a gradient is wrong", args.quiet)
    return 1 if results.failed else 0
