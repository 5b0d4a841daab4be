"""docs/sklearn.md: five examples, and under each the table that the benchmark has left."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/sklearn.md").read_text(encoding="utf-8")
EXAMPLES = re.split(r"^## \d\. ", PAGE, flags=re.MULTILINE)[1:]
RESULTS = json.loads((ROOT / "benchmarks/results/gallery.json").read_text(encoding="utf-8"))


def test_the_page_has_five_examples_that_run_as_tests() -> None:
    assert len(EXAMPLES) == 5
    assert all(">>> " in example for example in EXAMPLES)


def test_every_figure_is_that_of_the_result_file_of_the_command_which_the_page_names() -> None:
    gallery = pytest.importorskip(
        "benchmarks.gallery", reason="needs scikit-learn 1.6 or newer", exc_type=ImportError
    )
    assert "`python -m benchmarks.gallery`" in PAGE
    assert RESULTS["command"].startswith("python -m benchmarks.gallery")
    for example, rows in zip(EXAMPLES, RESULTS["tasks"].values(), strict=True):
        assert re.findall(r"```text\n(.*?)\n```", example, re.DOTALL) == [gallery.as_table(rows)]
