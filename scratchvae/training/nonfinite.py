"""Where an infinity or NaN first appeared, found by running the epoch again.

A step does not wait for the device, so the loop learns of a loss that is not finite only some
steps later. Nothing random is stored and the epoch's first state is at hand: the same steps give
the same numbers again, and this time every array is looked at.
"""

from collections.abc import Iterable

import numpy as np

from scratchvae.backend import Array, Backend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.data import Split
from scratchvae.errors import NonFiniteError
from scratchvae.evaluation import visible
from scratchvae.evaluation.elbo import CHUNK
from scratchvae.memory import Tape
from scratchvae.models import Model
from scratchvae.models.model import BLOCK
from scratchvae.training.config import TrainConfig
from scratchvae.training.step import TrainingStep


def explain(
    step: TrainingStep, first_step: int, epoch: int, until: int, since: int = 0
) -> NonFiniteError:
    """Repeat the epoch's steps ``since`` … ``until``; the error that names step, layer and array.

    The step's parameters and moments are those before step ``since`` of the epoch, 0 unless the
    run went on in its middle; ``first_step`` is the number of the epoch's first step.
    """
    bk = step.bk
    for i in range(since, until + 1):
        where = f"epoch {epoch}, step {i + 1} of it (step {first_step + i} of the run)"
        with bk.quiet():
            batch = step.gradient(first_step + i, i)
            bad = _first_bad(bk, batch.bound.arrays())
            if bad is not None:
                return NonFiniteError(_sentence(bad, where))
            for worker in range(step.team.size):
                step.optimizer.step(first_step + i, worker)
        bad = _first_bad(bk, step.params.views.items())
        if bad is not None:
            return NonFiniteError(_sentence(f"{bad} after the update", where))
    return NonFiniteError(_sentence("the sum of the losses", where))


def explain_evaluation(
    model: Model, split: Split, config: TrainConfig, epoch: int, where: str
) -> NonFiniteError:
    """Repeat the evaluation after ``epoch``, which was not finite; the error that names an array.

    The images, their draws and the noise are those of ``evaluation.evaluate``.
    """
    model = model.for_evaluation()
    bk, seed = model.bk, config.seed
    bad = _first_bad(bk, model.params.views.items())
    if bad is not None:
        return NonFiniteError(_sentence(bad, where))
    for first in range(0, len(split), CHUNK):
        images = visible(
            split.take(slice(first, first + CHUNK)), config.binarize, seed, epoch, first
        )
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            bound = model.vae.bind(Tape(bk, len(block)), model.params)
            bk.load(block, bound.x)
            stream = Stream(seed, Purpose.TEST_LATENT, epoch, first + start)
            bk.normal(bound.eps, stream, bk.noise_scratch(bound.eps.size))
            with bk.quiet():
                bound.loss()
            bad = _first_bad(bk, bound.arrays())
            if bad is not None:
                return NonFiniteError(_sentence(bad, where))
    return NonFiniteError(_sentence("the sum of the losses", where))


def _first_bad(bk: Backend, arrays: Iterable[tuple[str, Array]]) -> str | None:
    """The name of the first array that holds an infinity or NaN."""
    for name, a in arrays:
        if not np.isfinite(bk.to_host(a)).all():
            return name
    return None


def _sentence(what: str, where: str) -> str:
    return (
        f"training stopped: an infinity or NaN first appeared in {what}, at {where}; "
        "try a smaller learning rate, or float64"
    )
