"""What the loss of a VAE with a bug does, for each bug of `exercises bugs`. Takes half a minute.

    python -m benchmarks.bug_losses

writes exercises/bug_losses.json in the package, from which the texts of the bugs are made. A test
measures it again.
"""

import json
import warnings
from typing import Any

import numpy as np

from scratchvae.data import load_dataset
from scratchvae.exercises.bugs import BUGS, LOSSES, correct_code
from scratchvae.types import Json

IMAGES, EPOCHS, LATENT, HIDDEN, ROWS = 1000, 12, 4, 64, 64


def measure(text: str) -> tuple[float | None, float | None]:
    """The mean loss of the first and of the last epoch, as the code itself reports it.

    To a tenth of a nat; None for what is not finite.
    """
    module: dict[str, Any] = {"__name__": "bug"}
    exec(compile(text, "bug", "exec"), module)
    images = load_dataset("digits").train.values(slice(0, IMAGES)).astype(np.float64)
    rng = np.random.default_rng(0)
    initial = module["initial_network"]
    vae = module["VAE"](initial((64, HIDDEN, 2 * LATENT), rng), initial((LATENT, HIDDEN, 64), rng))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [float(x) for x in module["train"](vae, images, EPOCHS, rng, ROWS)]
    first, last = (round(x, 1) if np.isfinite(x) else None for x in (found[0], found[-1]))
    return first, last


def measure_all() -> Json:
    """Every bug's, and those of the code without one."""
    return {
        "images": IMAGES,
        "epochs": EPOCHS,
        "right": measure(correct_code()),
        "bugs": [measure(bug.text(correct_code())) for bug in BUGS],
    }


if __name__ == "__main__":
    content = measure_all()
    LOSSES.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(LOSSES.read_text(encoding="utf-8"), end="")
