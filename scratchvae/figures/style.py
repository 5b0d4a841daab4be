"""How every figure looks: sizes, colours and fonts, independent of the reader's matplotlibrc."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

DPI = 200  # of the PNG; all lengths of a page are whole pixels at this resolution

TITLE, LABEL, TICK, SMALL = 9.0, 8.0, 7.0, 6.5  # font sizes in points

INK = "#222222"  # text and axes
GREY = "#6b6b6b"  # the caption, and what others published
HAIRLINE = "#d2d2d2"  # between two images

BLUE, VERMILLION = "#0072b2", "#d55e00"  # Okabe and Ito's palette: distinct under colour blindness

# Ten colours that stay apart under the common kinds of colour blindness (M. A. Petroff, "Accessible
# Color Sequences for Data Visualization", arXiv 2107.02270). Their order is ours: digits that a
# 2-D latent space mixes up (4, 7 and 9; 3, 5 and 8) get the colours that differ most.
TEN = (
    *("#717581", "#b9ac70", "#92dadd", "#bd1f01", "#3f90da"),
    *("#94a4a2", "#e76300", "#a96b59", "#832db6", "#ffa90e"),
)

# Thirty for more classes: the ten, then each of them darker, then lighter.
MANY = (
    *TEN,
    *(f"#{''.join(f'{int(c[k : k + 2], 16) * 11 // 20:02x}' for k in (1, 3, 5))}" for c in TEN),
    *(
        f"#{''.join(f'{80 + int(c[k : k + 2], 16) * 11 // 16:02x}' for k in (1, 3, 5))}"
        for c in TEN
    ),
)

SETTINGS: dict[str, object] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, and has Φ, μ, − and ₁
    "font.size": LABEL,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a caption is a dollar
    "axes.titlesize": TITLE,
    "axes.titlelocation": "left",
    "axes.titlepad": 5.0,
    "axes.labelsize": LABEL,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": TICK,
    "ytick.labelsize": TICK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "image.interpolation": "nearest",
    "svg.fonttype": "path",  # outlines: the SVG needs no font where it is read
    "svg.hashsalt": "scratchvae",  # without a salt the ids in an SVG are random
    "figure.dpi": DPI,
}


@contextmanager
def house_style() -> Iterator[None]:
    """matplotlib's own defaults, then ours; the reader's settings are back afterwards.

    Also a decorator. Drawing and saving both happen inside it, because matplotlib reads some
    settings when an artist is made and others when it is rendered.
    """
    matplotlib = import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def import_matplotlib() -> ModuleType:
    """matplotlib, whatever MPLBACKEND names: a figure here is drawn without a backend.

    matplotlib cannot even be imported where the variable names a backend that is not installed, as
    it does for a command in a notebook's shell. One that is installed stays the reader's own.
    """
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with suppress(ValueError):  # not installed
            matplotlib.rcParams["backend"] = named
    return matplotlib
