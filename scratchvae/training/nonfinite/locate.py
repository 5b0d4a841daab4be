"""Find the first infinity or NaN of a training by running its steps again.

A step does not wait for the device, so the loop learns of a loss that is not finite only some
steps later. No random number is stored, and the state that the epoch began with is kept: the same
steps give the same numbers again, and this time every array is recorded
(:mod:`scratchvae.training.nonfinite.trace`). The step in which the first one appears goes into a
:class:`Replay`, which :mod:`scratchvae.training.nonfinite.report` runs again without the data set.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream
from scratchvae.config import TrainConfig
from scratchvae.data import Split
from scratchvae.errors import ConfigError, NonFiniteError
from scratchvae.evaluation import as_seen_by_model
from scratchvae.evaluation.elbo import CHUNK
from scratchvae.memory import Workspace
from scratchvae.models import VAE, Model
from scratchvae.models.model import BLOCK
from scratchvae.training.nonfinite.replay import EVALUATION, STEP, Replay
from scratchvae.training.nonfinite.trace import StepTrace
from scratchvae.training.step import TrainingStep

# The root mean square of a batch beyond which its scale is named as the cause. It is at most 1 for
# grey values in [0, 1] and about 1 for standardized columns; for levels up to 255 it is about 100.
LARGE = 10.0


def locate_first_nonfinite(
    step: TrainingStep, config: TrainConfig, first_step: int, epoch: int, until: int, since: int = 0
) -> NonFiniteError:
    """Repeat the epoch's steps ``since`` … ``until``; the error that names step, layer and array.

    ``step`` holds the parameters and moments from before step ``since`` of the epoch, which is 0
    unless the run was resumed within it; ``first_step`` is the number of the epoch's first step
    in the run. Each step is traced as a single worker computes it; its gradient is then computed
    again by all workers, as in training, so that the next step starts from the same bits.
    """
    bk = step.bk
    step.grads.flat.fill(0)  # a clipped NaN has made NaN of the padding, which no layer writes
    for i in range(since, until + 1):
        t = first_step + i
        batch = step.fill(t, i)
        bound = batch.bound
        replay = Replay(
            STEP,
            f"epoch {epoch}, step {i + 1} of it (step {t} of the run)",
            config.to_json(),
            step.vae.condition.pixels(step.vae.pixels),
            epoch,
            t,
            step.weighting.of_image(batch.bound.rows),
            step.beta(t),
            bk.to_host(bound.x),
            bk.to_host(bound.eps),
            step.params.to_host(),
            by_hand=_by_hand(step.vae, config),
            optimizer=step.optimizer.rule,
        )
        trace = StepTrace(bk)
        trace.inputs(bound, step.params)
        trace.gradient(bound, replay.weight, replay.beta)
        if trace.first_nonfinite is None:
            step.gradient(t, i)
            moments = {name: moment.to_host() for name, moment in step.optimizer.state.items()}
            replay = replace(replay, gradient=step.grads.to_host(), moments=moments)
            trace.update(step.optimizer, step.params, step.grads, t)
        if trace.first_nonfinite is not None:
            return _error(trace.first_nonfinite.name, replay)
    return _error("the sum of the losses", replay)


def locate_in_evaluation(
    model: Model, split: Split, config: TrainConfig, epoch: int, part: str, step: int
) -> NonFiniteError:
    """Repeat the evaluation after ``epoch``; the error that names the first non-finite array.

    Images (of the ``part`` "test" or "validation"), draws and noise are those that
    ``evaluation.evaluate`` used; ``step`` is the last step of the run before it.
    """
    model = model.for_evaluation()
    bk, seed = model.bk, config.seed
    for first in range(0, len(split), CHUNK):
        chunk = split.take(slice(first, first + CHUNK))
        images = as_seen_by_model(
            chunk, seed=seed, draw=epoch, start=first, condition=model.vae.evaluated.condition
        )
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            bound = model.vae.bind(Workspace(bk, len(block)), model.params)
            bk.load(block, bound.x)
            stream = Stream(seed, Purpose.TEST_LATENT, epoch, first + start)
            bk.normal(bound.eps, stream, bk.noise_scratch(bound.eps.size))
            trace = StepTrace(bk)
            trace.inputs(bound, model.params)
            trace.loss(bound, model.vae.beta)
            replay = Replay(
                EVALUATION,
                f"the {part} images after epoch {epoch} (step {step} of the run)",
                config.to_json(),
                model.vae.condition.pixels(model.vae.pixels),
                epoch,
                step,
                1.0 / len(block),
                model.vae.beta,
                bk.to_host(bound.x),
                bk.to_host(bound.eps),
                model.params.to_host(),
                by_hand=_by_hand(model.vae, config),
            )
            if trace.first_nonfinite is not None:
                return _error(trace.first_nonfinite.name, replay)
    return _error("the sum of the losses", replay)


def _by_hand(vae: VAE, config: TrainConfig) -> VAE | None:
    """The model, unless the settings make the same one."""
    try:
        made = config.make_vae(vae.condition.pixels(vae.pixels))
        made = made.with_samples(vae.samples).with_estimator(vae.estimator)
    except ConfigError:
        return vae
    return None if repr(made) == repr(vae) else vae


def data_advice(x: NDArray) -> str:
    """What is wrong with a batch x (B, D) and what to do about it; "" if it is ordinary."""
    finite = np.isfinite(x)
    if not finite.all():
        image = int(np.argmin(finite.all(axis=1)))
        return f"look at the data: image {image} of this batch holds an infinity or NaN"
    with np.errstate(over="ignore"):
        scale = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
    if scale <= LARGE:
        return ""
    return (
        f"the scale of the data is the likely cause: this batch ranges from {x.min():.4g} to "
        f"{x.max():.4g}, and the initial weights suit numbers of about 1; scale the data to "
        "[0, 1], or standardize it"
    )


def _error(what: str, replay: Replay) -> NonFiniteError:
    advice = data_advice(replay.x) or "try a smaller learning rate, or float64"
    error = NonFiniteError(
        f"training stopped: an infinity or NaN first appeared in {what}, at {replay.where}; "
        f"{advice}"
    )
    error.replay = replay
    return error
