"""What the tests of pages share: a finished run, and what lies in a page."""

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.models import Model
from scratchvae.runs import Checkpoint, RunFolder
from scratchvae.training import Prepared


@dataclass
class Run:
    """A finished run with all that a page is made from."""

    folder: RunFolder
    model: Model
    checkpoint: Checkpoint
    prepared: Prepared


def content_of(page: Path) -> Any:
    """The data that lie in a page."""
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def numbers(packed: Any) -> np.ndarray:
    """An array as the page holds it."""
    if "values" in packed:
        return np.reshape(packed["values"], packed["shape"])
    a = np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"])
    return a.astype(float).reshape(packed["shape"]) * packed.get("scale", 1.0)
