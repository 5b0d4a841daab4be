"""The examples of docs/gradcheck.md that need a framework, run as they stand."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs/gradcheck.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_the_example_of_a_framework_runs(framework):
    pytest.importorskip(framework)
    (code,) = re.findall(rf"```python {framework}\n(.*?)```", PAGE, re.DOTALL)
    assert "assert_gradient(" in code
    exec(compile(code, f"docs/gradcheck.md, {framework}", "exec"), {})
