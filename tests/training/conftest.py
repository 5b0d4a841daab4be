"""The scripts that measure reliability lie beside the package, in the root of the repository."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """What a run of these settings leaves that is not interrupted."""
    from resume_helpers import folder_of, left, run

    known: dict[str, dict[str, Any]] = {}

    def of(**changes: Any) -> dict[str, Any]:
        key = json.dumps(changes)
        if key not in known:
            folder = folder_of(tmp_path_factory.mktemp("whole") / "run", **changes)
            run(folder)
            known[key] = left(folder)
        return known[key]

    return of
