"""What every result file of a reliability script says: command, date, versions, machine."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scratchvae.versions import kernel, machine, versions


def about(name: str) -> dict[str, Any]:
    """How and with what a result was obtained."""
    return {
        "command": " ".join([f"python -m benchmarks.reliability.{name}", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions() | kernel(),
        "machine": machine(),
    }


def keep(path: Path | None, name: str, content: Mapping[str, Any]) -> None:
    """Write a result file, if one was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(about(name) | dict(content), indent=1) + "\n")
