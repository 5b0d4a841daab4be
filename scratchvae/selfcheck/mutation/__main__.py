"""``python -m scratchvae.selfcheck.mutation``: bugs in the code around the gradients."""

import argparse
import json
import sys
from pathlib import Path

from scratchvae.errors import ConfigError, DataError, ScratchVAEError
from scratchvae.selfcheck.mutation.areas import AREAS
from scratchvae.selfcheck.mutation.equivalent import reason_for
from scratchvae.selfcheck.mutation.programs import ProgramTable, run_programs
from scratchvae.selfcheck.mutation.trial import Trial
from scratchvae.storage.atomic import write_bytes
from scratchvae.types import Json

COMMAND = "python -m scratchvae.selfcheck.mutation"


def main(argv: list[str] | None = None) -> int:
    """Plant bugs as the arguments say; 1 when one was not found."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Plant bugs in the code around the gradients (noise, binarization, samplers, "
        "evaluation, …) and let the project's own tests find them. In a clone of the repository.",
    )
    names = ", ".join(area.name for area in AREAS)
    parser.add_argument("area", nargs="*", help=f"only these (default: all): {names}")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="N bugs from each area instead of all"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE",
        help="write the numbers to a file, too; what it says of other areas stays",
    )  # fmt: skip
    parser.add_argument(
        "--again", action="store_true",
        help="only bugs that FILE says were not found: after tests for them have been written",
    )  # fmt: skip
    args = parser.parse_args(argv)
    try:
        before = None if args.json is None else _content_of(args.json)
        only = _not_found(before, args.area) if args.again else None
        table = run_programs(args.area, args.sample, _progress, only)
        if args.json is not None:
            _write(args.json, table)
    except ScratchVAEError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(table.table())
    return 1 if table.failed else 0


def _content_of(path: Path) -> Json | None:
    """What an earlier run has written; ``DataError`` for another file."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}; name another file") from error
    if not isinstance(content, dict) or not isinstance(content.get("rows"), dict):
        raise DataError(f"{path} was not written by {COMMAND}: name another file")
    return content


def _not_found(before: Json | None, areas: list[str]) -> set[str]:
    """The bugs of some areas that an earlier run has not found; ``ConfigError`` without one."""
    if before is None:
        raise ConfigError("--again needs the --json FILE that an earlier run has written")
    rows = before["rows"]
    return {name for area in areas or rows if area in rows for name in rows[area]["not_found"]}


def _write(path: Path, table: ProgramTable) -> None:
    content = {"command": f"{COMMAND} --json {path}", **table.to_json(_content_of(path))}
    try:
        write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error


def _progress(trial: Trial) -> None:
    """One line for every bug that no test found, on stderr, as it happens."""
    if trial.found_by is None:
        word = "explained" if reason_for(trial.mutant.name) else "not found"
        print(f"{word}: {trial.mutant.name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
