"""Where an infinity or NaN first appeared, found by running the step again.

A step does not wait for the device, so the loop learns of a loss that is not finite only some
steps later. Nothing random is stored and the epoch's first state is at hand: the same steps give
the same numbers again, and this time every array is recorded
(:mod:`scratchvae.training.nonfinite.trace`).
The step that was found goes into a :class:`Replay`, which :func:`rerun` runs once more, in the
same float type or in a wider one, without the data set.
"""

from dataclasses import replace

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.config import TrainConfig
from scratchvae.data import Split
from scratchvae.errors import NonFiniteError
from scratchvae.evaluation import as_seen_by_model
from scratchvae.evaluation.elbo import CHUNK
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import Model
from scratchvae.models.model import BLOCK
from scratchvae.training.nonfinite.replay import EVALUATION, STEP, Replay
from scratchvae.training.nonfinite.trace import Watch
from scratchvae.training.step import TrainingStep


def explain(
    step: TrainingStep, config: TrainConfig, first_step: int, epoch: int, until: int, since: int = 0
) -> NonFiniteError:
    """Repeat the epoch's steps ``since`` … ``until``; the error that names step, layer and array.

    The step's parameters and moments are those before step ``since`` of the epoch, 0 unless the
    run went on in its middle; ``first_step`` is the number of the epoch's first step. Each step is
    watched as one worker computes it; then the gradient is computed as it was in training, by all
    workers, so that the next step begins where it did.
    """
    bk = step.bk
    step.grads.flat.fill(0)  # a clipped NaN has made NaN of the padding, which no layer writes
    for i in range(since, until + 1):
        t = first_step + i
        bound = step.fill(t, i).bound
        replay = Replay(
            STEP,
            f"epoch {epoch}, step {i + 1} of it (step {t} of the run)",
            config.to_json(),
            step.vae.pixels,
            epoch,
            t,
            1.0 / bound.rows,
            step.beta(t),
            bk.to_host(bound.x),
            bk.to_host(bound.eps),
            step.params.to_host(),
        )
        watch = Watch(bk)
        watch.inputs(bound, step.params)
        watch.gradient(bound, replay.weight, replay.beta)
        if watch.found is None:
            step.gradient(t, i)
            moments = {name: moment.to_host() for name, moment in step.optimizer.state.items()}
            replay = replace(replay, gradient=step.grads.to_host(), moments=moments)
            watch.update(step.optimizer, step.params, step.grads, t)
        if watch.found is not None:
            return _error(watch.found.name, replay)
    return _error("the sum of the losses", replay)


def explain_evaluation(
    model: Model, split: Split, config: TrainConfig, epoch: int, part: str, step: int
) -> NonFiniteError:
    """Repeat the evaluation after ``epoch``, which was not finite; the error that names an array.

    The images (those of the ``part`` "test" or "validation"), their draws and the noise are those
    of ``evaluation.evaluate``; ``step`` is the last step of the run before it.
    """
    model = model.for_evaluation()
    bk, seed = model.bk, config.seed
    for first in range(0, len(split), CHUNK):
        chunk = split.take(slice(first, first + CHUNK))
        images = as_seen_by_model(chunk, seed=seed, draw=epoch, start=first)
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            bound = model.vae.bind(Workspace(bk, len(block)), model.params)
            bk.load(block, bound.x)
            stream = Stream(seed, Purpose.TEST_LATENT, epoch, first + start)
            bk.normal(bound.eps, stream, bk.noise_scratch(bound.eps.size))
            watch = Watch(bk)
            watch.inputs(bound, model.params)
            watch.loss(bound, model.vae.beta)
            replay = Replay(
                EVALUATION,
                f"the {part} images after epoch {epoch} (step {step} of the run)",
                config.to_json(),
                model.vae.pixels,
                epoch,
                step,
                1.0 / len(block),
                model.vae.beta,
                bk.to_host(bound.x),
                bk.to_host(bound.eps),
                model.params.to_host(),
            )
            if watch.found is not None:
                return _error(watch.found.name, replay)
    return _error("the sum of the losses", replay)


def rerun(replay: Replay, dtype: str) -> Watch:
    """The step once more on this machine's CPU, in a float type: what was seen of it.

    The update follows where it was the update that made the infinity, from the gradient that it
    was handed.
    """
    bk, vae = get_backend("cpu", dtype), replay.vae()
    params, grads = FlatBuffer(bk, vae.layout), FlatBuffer(bk, vae.layout)
    params.load(replay.params)
    bound = vae.bind(Workspace(bk, len(replay.x)), params, grads)
    bk.load(replay.x, bound.x)
    bk.load(replay.eps, bound.eps)
    watch = Watch(bk)
    watch.inputs(bound, params)
    if replay.kind == EVALUATION:
        watch.loss(bound, replay.beta)
        return watch
    watch.gradient(bound, replay.weight, replay.beta)
    if replay.gradient is not None:
        optimizer = replay.settings().make_optimizer().bind(bk, params, grads)
        for name, moment in optimizer.state.items():
            moment.load(replay.moments[name])
        grads.load(replay.gradient)
        watch.update(optimizer, params, grads, replay.step)
    return watch


def _error(what: str, replay: Replay) -> NonFiniteError:
    error = NonFiniteError(
        f"training stopped: an infinity or NaN first appeared in {what}, at {replay.where}; "
        "try a smaller learning rate, or float64"
    )
    error.replay = replay
    return error
