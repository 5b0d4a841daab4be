"""``python -m scratchvae.selfcheck.mutation``: bugs in the code around the gradients."""

import argparse
import sys

from scratchvae.errors import ScratchVAEError
from scratchvae.selfcheck.mutation.areas import AREAS
from scratchvae.selfcheck.mutation.programs import run_programs
from scratchvae.selfcheck.mutation.trial import Trial


def main() -> int:
    """Plant bugs as the arguments say; 1 when one was not found."""
    parser = argparse.ArgumentParser(
        prog="python -m scratchvae.selfcheck.mutation",
        description="Plant bugs in the code around the gradients (noise, binarization, samplers, "
        "evaluation, …) and let the project's own tests find them. In a clone of the repository.",
    )
    names = ", ".join(area.name for area in AREAS)
    parser.add_argument("area", nargs="*", help=f"only these (default: all): {names}")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="N bugs from each area instead of all"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object to stdout")
    args = parser.parse_args()
    try:
        table = run_programs(args.area, args.sample, _progress)
    except ScratchVAEError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(table.to_json() if args.json else table.table())
    return 1 if table.failed else 0


def _progress(trial: Trial) -> None:
    """One line for every bug that no test found, on stderr, as it happens."""
    if trial.found_by is None:
        print(f"not found: {trial.mutant.name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
