"""Writing a figure: a PNG and an SVG that are the same bytes whenever the numbers are the same."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scratchvae.errors import ConfigError
from scratchvae.figures.style import DPI, house_style
from scratchvae.storage.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RESOLUTION = {"png": DPI, "svg": 2 * DPI}  # in the SVG: of the images that it embeds

# None removes an entry: the date would differ in every run, the program's name in every release.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


def save(fig: "Figure", folder: str | os.PathLike[str], name: str) -> list[Path]:
    """Write `name.png` and `name.svg` into `folder` (made if missing) and return their paths.

    Both formats are rendered before anything is written, and each file appears whole or not at all.
    `ConfigError` for a name with a folder in it, or a `folder` that is a file.
    """
    return write(render(fig, name), folder)


@house_style()
def render(fig: "Figure", name: str) -> dict[str, bytes]:
    """`name.png` and `name.svg` as bytes."""
    if not name or name.startswith(".") or Path(name).name != name:
        raise ConfigError(f"the name of a figure must be a plain file name, got {name!r}")
    return {f"{name}.{format_}": _render(fig, format_) for format_ in _METADATA}


def write(files: Mapping[str, bytes], folder: str | os.PathLike[str]) -> list[Path]:
    """Write rendered figures into `folder` (made if missing), each file whole or not at all."""
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ConfigError(f"cannot save figures in {target}: it is a file, not a folder")
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_bytes(target / name, content)
    return [target / name for name in files]


def _render(fig: "Figure", format_: str) -> bytes:
    """The bytes of a figure in one format."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format=format_, dpi=_RESOLUTION[format_], metadata=_METADATA[format_])
    return buffer.getvalue()
