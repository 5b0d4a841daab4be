"""scratchvae gradcheck: check every hand-written gradient."""

import argparse
import json

from scratchvae.cli.common import print_message, print_result
from scratchvae.cli.parser import Commands, add_command
from scratchvae.errors import ConfigError


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "gradcheck",
        run,
        help="check every hand-written gradient",
        description="Check the gradients of every operation, likelihood, model and optimizer of "
        "this package; print one table. Exit code 1 if a gradient is wrong.",
        examples=[
            "scratchvae gradcheck",
            "scratchvae gradcheck --only relu --method central",
            "scratchvae gradcheck --thorough --json",
            "scratchvae gradcheck --planted-bugs",
        ],
    )
    parser.add_argument("--method", default="complex", metavar="METHOD",
                        help="complex, central, five_point or richardson differences "
                        "(default: complex)")  # fmt: skip
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="only operations whose names contain NAME; may be repeated "
                        "(default: all)")  # fmt: skip
    parser.add_argument("--planted-bugs", action="store_true",
                        help="plant thousands of bugs in the gradients of this package and count "
                        "how many are found (about a minute)")  # fmt: skip
    parser.add_argument("--thorough", action="store_true",
                        help="check at 8 random points instead of one")  # fmt: skip
    parser.add_argument("--json", action="store_true",
                        help="print the result as one JSON object")  # fmt: skip
    parser.add_argument("--quiet", action="store_true",
                        help="print nothing; the exit code tells")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Check as the arguments say; 1 when anything is wrong."""
    if args.planted_bugs:
        return run_planted_bugs(args)
    from scratchvae.selfcheck import run_registry
    from scratchvae.selfcheck.coverage import uncovered

    found = run_registry(args.method, args.only, args.thorough)
    missing = uncovered()
    if not args.quiet:
        content = json.loads(found.to_json()) | {"without_entry": missing}
        print_result(args.json, content, f"{found.table()}\n{coverage(missing)}")
    if found.failed:
        print_message("a gradient is wrong", args.quiet)
    return 1 if found.failed else 0


def coverage(missing: list[str]) -> str:
    """What no check knows, in words: an operation without an entry is never checked."""
    if not missing:
        return "every operation of scratchvae has an entry"
    return f"without an entry, so never checked: {', '.join(missing)}"


def run_planted_bugs(args: argparse.Namespace) -> int:
    """Plant bugs and count those that are found; 1 when one was not."""
    from scratchvae.selfcheck.mutation import run_planted

    if args.only or args.thorough or args.method != "complex":
        raise ConfigError("--planted-bugs goes with neither --method, --only nor --thorough")
    found = run_planted()
    if not args.quiet:
        print(found.to_json() if args.json else found.table())
    if found.failed:
        print_message("a planted bug was not found", args.quiet)
    return 1 if found.failed else 0
