"""Writing a figure: a PNG and an SVG that are the same bytes whenever the numbers are the same."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from scratchvae.errors import ConfigError
from scratchvae.figures.style import DPI, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RESOLUTION = {"png": DPI, "svg": 2 * DPI}  # in the SVG: of the images that it embeds

# None removes an entry: the date would differ in every run, the program's name in every release.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


@house_style()
def save(fig: "Figure", folder: str | os.PathLike[str], name: str) -> list[Path]:
    """Write `name.png` and `name.svg` into `folder` (made if missing) and return their paths.

    Both formats are rendered before anything is written, and each file appears whole or not at all.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise ConfigError(f"the name of a figure must be a plain file name, got {name!r}")
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ConfigError(f"cannot save figures in {target}: it is a file, not a folder")
    rendered = {format_: _render(fig, format_) for format_ in _METADATA}
    target.mkdir(parents=True, exist_ok=True)
    return [_write(target / f"{name}.{format_}", data) for format_, data in rendered.items()]


def _render(fig: "Figure", format_: str) -> bytes:
    """The bytes of a figure in one format."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format=format_, dpi=_RESOLUTION[format_], metadata=_METADATA[format_])
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> Path:
    """Write beside the target, then rename: a reader sees the old file or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
