"""Where an infinity or NaN first appeared, found by running the epoch again.

A step does not wait for the device, so the loop learns of a loss that is not finite only some
steps later. Nothing random is stored and the epoch's first state is at hand: the same steps give
the same numbers again, and this time every array is looked at.
"""

import numpy as np

from scratchvae.errors import NonFiniteError
from scratchvae.training.step import TrainingStep


def explain(step: TrainingStep, first_step: int, epoch: int, until: int) -> NonFiniteError:
    """Repeat the epoch's steps 0 … ``until``; the error that names step, layer and array.

    The step's parameters and moments are those of the epoch's beginning; ``first_step`` is the
    number of its first step.
    """
    bk = step.bk
    for i in range(until + 1):
        where = f"epoch {epoch}, step {i + 1} of it (step {first_step + i} of the run)"
        with bk.quiet():
            batch = step.gradient(first_step + i, i)
            for name, a in batch.bound.arrays():
                if not np.isfinite(bk.to_host(a)).all():
                    return NonFiniteError(_sentence(name, where))
            step.optimizer.step(first_step + i)
        for name in step.params:
            if not np.isfinite(bk.to_host(step.params[name])).all():
                return NonFiniteError(_sentence(f"{name} after the update", where))
    return NonFiniteError(_sentence("the sum of the losses", where))


def _sentence(what: str, where: str) -> str:
    return (
        f"training stopped: an infinity or NaN first appeared in {what}, at {where}; "
        "try a smaller learning rate, or float64"
    )
