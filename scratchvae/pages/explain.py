"""The page that shows one training step number by number."""

from pathlib import Path
from typing import Any

import scratchvae
from scratchvae.errors import ConfigError
from scratchvae.models import Model
from scratchvae.pages.microscope import (
    examine,
    small_specimen,
    source_of,
    specimen_of_run,
)
from scratchvae.pages.network import require_drawable
from scratchvae.pages.single_file import equations_for, link_to, require_new, write_page
from scratchvae.runs import Checkpoint
from scratchvae.training import Prepared
from scratchvae.types import Json

STYLES = ("page.css", "explain.css")
SCRIPTS = ("page.js", "vae.js", "picture.js", "explain.js")


def write_explanation(
    path: Path, name: str, model: Model, checkpoint: Checkpoint, prepared: Prepared, image: int = 0
) -> int:
    """Write the page of a run called ``name`` to a new file; its size in bytes.

    Two models: a 4-3-2 VAE made for the page, and the run's own, each with a step of one image:
    training image number ``image`` of the run. Raises ``RunError`` if the file exists or can't be
    written, ``ConfigError`` for an image that is not there and for a model with parts that the page
    does not show.
    """
    require_new(path)
    require_drawable(model.vae)
    further = model.vae.networks().keys() - {"encoder", "decoder"}
    if further:
        raise ConfigError(
            f"a page shows the step of an encoder and a decoder, and this model has a network more "
            f"({further.pop()}): explain a run with --condition label and the standard prior, or "
            "walk through the latent space of this one with scratchvae explore"
        )
    specimens = (
        small_specimen(),
        specimen_of_run(name, model, checkpoint, prepared, image),
    )
    shown: list[Json] = []
    codes: dict[str, Any] = {}
    for specimen in specimens:
        content, used = examine(specimen)
        shown.append(content)
        codes |= used
    steps = [step for content in shown for step in content["steps"]]
    labels = [label for step in steps for label in step["equations"]]
    sources: dict[str, Json] = {}
    for function_name, code in codes.items():
        source = source_of(code)
        href = link_to(source["file"], f"L{source['line']}", path)
        sources[function_name] = source | {"href": href}
    data = {
        "specimens": shown,
        "equations": equations_for(labels, path),
        "code": sources,
        "made": f"Made by scratchvae {scratchvae.__version__} from {name}.",
    }
    return write_page(path, f"{name}: one training step", "explain.html", STYLES, SCRIPTS, data)
