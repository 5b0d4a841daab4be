"""Every equation has its label in the documents, in the code and in a test, and the map is current.

The first tests are about this repository; the others plant a defect in a small copy of its layout
and ask whether the check sees it.
"""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_equations", ROOT / "docs/make_equations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def test_every_label_is_displayed_once_carried_by_code_and_verified_by_a_test():
    assert script.findings() == []


def test_the_map_of_the_equations_is_current():
    assert script.is_current(), f"docs/equations.md is out of date; run: {script.COMMAND}"


def test_there_are_thirty_four_equations_or_more():
    assert len(script.equations(ROOT)) >= 34


@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "docs").glob("*.md")))
def test_no_formula_holds_what_markdown_would_rewrite(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    displays = re.findall(r"^\$\$\n(.*?)\n\$\$$", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"(?<!\$)\$([^$]+)\$(?!\$)", text)
    for formula in (*displays, *inline):
        assert not re.search(r"\\[^a-zA-Z\s]", formula), f"a backslash is eaten in {formula}"
        assert not re.search(r"[}\])]_|\*", formula), f"this may become emphasis: {formula}"
        assert not re.search(r"[<>]", formula), f"write \\lt or \\gt in {formula}"
    for formula in displays:
        assert not re.search(r"^\s*[-+#] ", formula, re.MULTILINE), f"a list begins in {formula}"
    for formula in inline:
        assert "\n" not in formula, f"a line breaks inside {formula}"


@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "docs").glob("*.md")))
def test_every_link_to_a_file_leads_somewhere(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [t for t in targets if not (ROOT / "docs" / t).exists()] == []


# ---- the check checked ---------------------------------------------------------------------------

DERIVATIONS = """**(E1)** The first.

$$
y = x
$$

**(E2)** The second.

$$
dx = dy
$$
"""
CODE = '''def forward(x):
    """y = x  (E1); see E2."""
    return x


class Node:
    def chain(self, dy):
        """dx = dy  (E2)."""
        return dy
'''
TESTS = """def test_e1_forward(): ...
def test_e2_chain(): ...
"""


@pytest.fixture
def small(tmp_path):
    for name, text in (
        ("docs/derivations.md", DERIVATIONS),
        ("scratchvae/node.py", CODE),
        ("tests/test_node.py", TESTS),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_sound_repository_has_no_findings_and_gets_its_map(small):
    assert script.findings(small) == []
    assert script.main([], small) == 0
    text = (small / "docs/equations.md").read_text(encoding="utf-8")
    for part in ("dx = dy", "scratchvae/node.py:7", "Node.chain", "test_e2_chain"):
        assert part in text
    assert script.main(["--check"], small) == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "finding"),
    [
        ("docs/derivations.md", "**(E2)**", "**(E3)**", "no display for E2"),
        ("docs/derivations.md", "**(E2)**", "**(E1)**", "displays E1 2 times"),
        ("docs/derivations.md", "$$\ndx = dy\n$$", "dx = dy", "announces E2, but no display"),
        ("docs/derivations.md", "\ny = x\n$$", "\ny = x\n$$\n\nSee E7.", "mentions E7"),
        ("scratchvae/node.py", "(E2)", "", "no docstring of the package carries (E2)"),
        ("scratchvae/node.py", "see E2", "see E9", "node.py:1 (forward) mentions E9"),
        ("scratchvae/node.py", "return dy", "return dy  # E8", "node.py:9 (a comment) mentions E8"),
        ("tests/test_node.py", "test_e2_chain", "test_chain", "no test has e2 in its name"),
        ("tests/test_node.py", "test_e2_", "test_e2_e5_", "verifies E5, which has no display"),
    ],
)
def test_a_planted_defect_is_found_and_named(small, file, old, new, finding):
    change(small / file, old, new)
    assert any(finding in found for found in script.findings(small))
    assert script.main([], small) == 1


def test_a_subject_may_begin_at_a_multiple_of_ten(small):
    for file, old, new in (
        ("docs/derivations.md", "**(E2)**", "**(E40)**"),
        ("scratchvae/node.py", "(E2)", "(E40)"),
        ("scratchvae/node.py", "see E2", "see E40"),
        ("tests/test_node.py", "test_e2_", "test_e40_"),
    ):
        change(small / file, old, new)
    assert script.findings(small) == []


def test_a_map_that_is_out_of_date_is_found_and_left_alone(small, capsys):
    script.main([], small)
    change(small / "scratchvae/node.py", "class Node", "\nclass Node")
    before = (small / "docs/equations.md").read_text(encoding="utf-8")
    assert script.main(["--check"], small) == 1
    assert script.COMMAND in capsys.readouterr().err
    assert (small / "docs/equations.md").read_text(encoding="utf-8") == before
