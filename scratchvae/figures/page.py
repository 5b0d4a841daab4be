"""A page measured in whole pixels: panels are placed by hand, and the caption below them.

matplotlib's automatic layouts iterate, and put an image anywhere between two pixels. Here one
pixel of a composed canvas is one pixel of the PNG, so nothing is resampled, and a figure drawn
twice is the same figure.
"""

import re
from typing import TYPE_CHECKING

from scratchvae.figures.style import DPI, GREY, SMALL, TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 30  # left and right, in pixels
ABOVE_CAPTION, FOOT = 14, 12  # between content and caption, and at the bottom of the page
TITLE_ROOM = 56  # above a panel
OFFSET = 14  # from the end of a line to its label
LINE = 30  # from one line of the caption to the next
_EIGHTH = DPI // 8  # sizes in eighths of an inch are exact in binary, so no pixel is rounded away


def pixels(points: float) -> float:
    """A length in points (1/72 inch) as pixels of the page."""
    return points * DPI / 72.0


def text_width(text: str, size: float) -> float:
    """The width in pixels of a line of text set in `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=["DejaVu Sans"], size=size)
    return pixels(float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]))


def shortened(name: str, size: float, width: float) -> str:
    """A name of the user's on one line of at most `width` pixels; what is cut off is a "…".

    Characters that cannot be printed, such as escape sequences, become the replacement character.
    """
    plain = "".join(c if c.isprintable() else "\ufffd" for c in name[:100])
    while text_width(plain, size) > width:
        plain = f"{plain.removesuffix('…')[:-1]}…"
    return plain


def wrap(text: str, size: float, width: float) -> list[str]:
    """Break a text so that no line is wider than `width` pixels, if its longest word allows.

    A line breaks after a "·" where that is enough, otherwise between words.
    """
    pieces: list[str] = []
    for phrase in re.split(r"(?<= ·) ", " ".join(text.split())):
        pieces += [phrase] if text_width(phrase, size) <= width else phrase.split(" ")
    lines: list[str] = []
    for piece in pieces:
        longer = f"{lines[-1]} {piece}" if lines else piece
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        elif piece:
            lines.append(piece)
    return lines


def new_page(width: int, height: int, caption: str) -> "Figure":
    """A figure with room for `width` × `height` pixels of content and the caption below it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = wrap(caption, SMALL, width - 2 * MARGIN)
    total = height + ABOVE_CAPTION + len(lines) * LINE + FOOT
    columns, rows = (-(-size // _EIGHTH) * _EIGHTH for size in (width, total))
    figure = Figure(figsize=(columns / DPI, rows / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    for number, line in enumerate(lines):
        y = 1.0 - (height + ABOVE_CAPTION + (number + 0.5) * LINE) / rows
        figure.text(MARGIN / columns, y, line, size=SMALL, color=GREY, va="center")
    return figure


def place(figure: "Figure", left: int, top: int, width: int, height: int, title: str) -> "Axes":
    """Axes of `width` × `height` pixels whose upper left corner is (left, top) on the page."""
    columns, rows = (round(size * DPI) for size in figure.get_size_inches())
    box = (left / columns, 1.0 - (top + height) / rows, width / columns, height / rows)
    axes = figure.add_axes(box)
    axes.set_title(title)
    return axes


def note(axes: "Axes", text: str) -> None:
    """A small remark above the upper right corner of a panel."""
    axes.annotate(
        text,
        xy=(1.0, 1.0),
        xycoords="axes fraction",
        xytext=(0.0, 5.0),
        textcoords="offset points",
        ha="right",
        size=TICK,
        color=GREY,
    )


def name_end(axes: "Axes", text: str, height: float, colour: str) -> None:
    """A label to the right of a panel, beside the end of a line; height: 0 below, 1 above."""
    axes.annotate(
        text,
        xy=(1.0, height),
        xycoords="axes fraction",
        xytext=(OFFSET / pixels(1.0), 0.0),
        textcoords="offset points",
        va="center",
        size=TICK,
        color=colour,
        annotation_clip=False,
    )
