"""Formulas as MathML."""

import json
from xml.dom.minidom import parseString

import pytest

from scratchvae.errors import ConfigError
from scratchvae.pages.mathml import mathml
from scratchvae.pages.single_file import asset

KNOWN = json.loads(asset("equations.json"))


def body(tex: str) -> str:
    return mathml(tex).partition(">")[2].removesuffix("</math>")


@pytest.mark.parametrize("label", KNOWN)
def test_every_formula_of_the_derivations_becomes_well_formed_mathml(label: str) -> None:
    math = parseString(mathml(KNOWN[label]["tex"])).documentElement
    assert math.tagName == "math"
    assert "\\" not in "".join(node.data for node in texts(math))


def texts(node):
    for child in node.childNodes:
        if child.nodeType == child.TEXT_NODE:
            yield child
        yield from texts(child)


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("x", "<mi>x</mi>"),
        (r"\frac12", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        ("x_{ij}^2", "<msubsup><mi>x</mi><mrow><mi>i</mi><mi>j</mi></mrow><mn>2</mn></msubsup>"),
        ("f'(x)", '<mrow><msup><mi>f</mi><mo>′</mo></msup><mo stretchy="false">(</mo><mi>x</mi>'
         '<mo stretchy="false">)</mo></mrow>'),
        (r"a \mathrel{+}= b", "<mrow><mi>a</mi><mo>+=</mo><mi>b</mi></mrow>"),
        (r"\text{if } x \lt 0",
         "<mrow><mtext>if\xa0</mtext><mi>x</mi><mo>&lt;</mo><mn>0</mn></mrow>"),
        (r"\sqrt{v}", "<msqrt><mi>v</mi></msqrt>"),
    ],
)  # fmt: skip
def test_a_formula_by_hand(tex: str, expected: str) -> None:
    assert body(tex) == expected


def test_a_sum_has_its_limits_below_and_above() -> None:
    assert body(r"\sum_{k=1}^K").startswith("<munderover><mo")


@pytest.mark.parametrize("tex", [r"\unheardof x", "x_{", r"\left( x", "}"])
def test_tex_that_it_does_not_know_is_refused(tex: str) -> None:
    with pytest.raises(ConfigError, match="a formula has"):
        mathml(tex)
