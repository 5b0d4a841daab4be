"""A training loop: by the loss it reaches, and where that is wrong, by what it called."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae import reference
from scratchvae.data import load_dataset
from scratchvae.exercises.verdict import WrongAnswerError, array, function_of, guarded

IMAGES, ROWS, EPOCHS, LATENT, HIDDEN = 1000, 64, 6, 4, 48  # the last batch of an epoch has 40
FALLS = 0.78  # of the first loss: a right loop reaches 0.72 to 0.73, whatever its order and noise


@dataclass
class Log:
    """What a loop handed to the functions that it was given."""

    batches: list[tuple[NDArray, NDArray, float]] = field(default_factory=list)  # x, ε, loss
    steps: list[tuple[int, int]] = field(default_factory=list)  # the id of p, and t
    moments: dict[int, set[int]] = field(default_factory=dict)  # the ids of m, by that of p


def recorded(log: Log) -> dict[str, Any]:
    """loss_and_gradient and adam as they are, but they write down what they are called with."""

    def loss_and_gradient(
        vae: reference.VAE, x: NDArray, eps: NDArray, beta: float = 1.0
    ) -> tuple[float, NDArray, NDArray, reference.VAE]:
        result = reference.loss_and_gradient(vae, x, eps, beta)
        log.batches.append((np.array(x), np.array(eps), float(result[0])))
        return result

    def adam(p: NDArray, g: NDArray, m: NDArray, v: NDArray, t: int, *more: Any, **by: Any) -> None:
        log.steps.append((id(p), t))
        log.moments.setdefault(id(p), set()).add(id(m))
        reference.adam(p, g, m, v, t, *more, **by)

    return {"loss_and_gradient": loss_and_gradient, "adam": adam}


def digits() -> NDArray:
    """The first digits of the training split, as numbers from 0 to 1."""
    return np.asarray(load_dataset("digits").train.values(slice(0, IMAGES)), dtype=np.float64)


def train(student: ModuleType) -> None:
    """Some epochs on real digits."""
    images, rng, log = digits(), np.random.default_rng(12), Log()
    given = images.copy()
    vae = reference.VAE(
        reference.initial_network((64, HIDDEN, 2 * LATENT), rng),
        reference.initial_network((LATENT, HIDDEN, 64), rng),
    )
    before = [p.copy() for p in vae.arrays()]
    loop = function_of(student, "train", "E2")
    own = {name: getattr(student, name) for name in recorded(log) if hasattr(student, name)}
    vars(student).update(recorded(log))
    try:
        losses = guarded(
            student, "train", "E2", lambda: _losses(loop(vae, given, EPOCHS, rng, ROWS))
        )
    finally:
        vars(student).update(own)
    if len(losses) != EPOCHS:
        raise WrongAnswerError(
            f"{len(losses)} losses are yielded in {EPOCHS} epochs: one after each epoch", "E2"
        )
    if not np.array_equal(given, images):
        raise WrongAnswerError("the images are changed, which belong to the caller", "E2")
    _check_batches(log, images)
    if all(np.array_equal(a, b) for a, b in zip(before, vae.arrays(), strict=True)):
        raise WrongAnswerError(
            "no parameter has changed: an update is missing, or one of copies", "E24"
        )
    _check_steps(log, len(before))
    _check_losses(log, losses)
    if not losses[-1] < FALLS * losses[0]:
        raise WrongAnswerError(
            f"the loss went from {losses[0]:.4g} to {losses[-1]:.4g} nats per image, and a loop "
            "that learns gets further",
            "E24",
        )


def _losses(yielded: Any) -> list[float]:
    if not isinstance(yielded, Iterator):
        raise WrongAnswerError(
            "train returns instead of yielding: `yield` the loss of each epoch", "E2"
        )
    found = []
    for value in yielded:
        found.append(float(array(value, (), "what is yielded", "E2")))
        if len(found) > EPOCHS:
            break
    return found


def _check_batches(log: Log, images: NDArray) -> None:
    """Every image once an epoch, in a new order, with noise of its own."""
    if not log.batches:
        return  # it has a gradient of its own, and is judged by its loss
    count = math.ceil(len(images) / ROWS)
    if len(log.batches) != count * EPOCHS:
        why = ": is the last, short batch left out?" if len(log.batches) == EPOCHS * (count - 1) \
            else ""  # fmt: skip
        raise WrongAnswerError(
            f"{len(log.batches)} batches in {EPOCHS} epochs of {len(images)} images by {ROWS}{why}",
            "E2",
        )
    epochs = [log.batches[i * count : (i + 1) * count] for i in range(EPOCHS)]
    seen = [np.concatenate([x for x, _, _ in epoch]) for epoch in epochs]
    for rows in seen:
        if len(rows) != len(images) or not np.allclose(
            rows[np.lexsort(rows.T)], images[np.lexsort(images.T)]
        ):
            raise WrongAnswerError(
                "an epoch must see every image once: some are missing or twice", "E2"
            )
    if any(np.array_equal(rows, images) for rows in seen):
        raise WrongAnswerError("the images come in the order of the file: shuffle them", "E2")
    if all(np.array_equal(rows, seen[0]) for rows in seen[1:]):
        raise WrongAnswerError("the order is the same in every epoch: draw one for each", "E2")
    noise = [eps for _, eps, _ in log.batches]
    if any(eps.shape != (len(x), LATENT) for x, eps, _ in log.batches):
        raise WrongAnswerError("the noise has not the shape (images, latent units)", "E12")
    if np.array_equal(noise[0], noise[1]):
        raise WrongAnswerError(
            "the noise is the same in every batch: draw fresh noise for each", "E12"
        )
    every = np.concatenate(noise)
    if abs(every.mean()) > 0.1 or abs(every.std() - 1) > 0.1:
        raise WrongAnswerError(
            "the noise is not normal with mean 0 and deviation 1: which drew it?", "E12"
        )


def _check_steps(log: Log, arrays: int) -> None:
    """A step for every array and batch; t counts; the moments last."""
    if not log.steps or not log.batches:
        return
    if len(log.moments) < arrays or len(log.steps) < arrays * len(log.batches):
        raise WrongAnswerError(
            f"Adam made {len(log.steps)} updates in {len(log.batches)} batches, but there are "
            f"{arrays} arrays to update in each",
            "E24",
        )
    first = log.steps[0][0]
    times = [t for p, t in log.steps if p == first]
    if times != list(range(1, len(times) + 1)):
        what = "counts epochs, not steps" if max(times) == EPOCHS else (
            "does not count 1, 2, 3, … over the whole training"
        )  # fmt: skip
        raise WrongAnswerError(f"Adam's t {what}", "E24")
    if any(len(ids) > 1 for ids in log.moments.values()):
        raise WrongAnswerError("Adam's averages m and v are made anew during the training", "E24")


def _check_losses(log: Log, losses: list[float]) -> None:
    """Each is the mean over the images, not over the batches."""
    if not log.batches:
        return
    count = len(log.batches) // EPOCHS
    for i, found in enumerate(losses):
        epoch = log.batches[i * count : (i + 1) * count]
        rows, values = np.array([len(x) for x, _, _ in epoch]), np.array([v for _, _, v in epoch])
        right = float((rows * values).sum() / rows.sum())
        mistakes = {
            "is the loss of the last batch alone": values[-1],
            "is a mean over batches: the last, short one counts too much": values.mean(),
            "is a sum over the images": (rows * values).sum(),
            "is a sum over the batches, divided by the images": values.sum() / rows.sum(),
            "is a sum over the batches": values.sum(),
            "counts the last, short batch as a whole one": values.sum() * ROWS / rows.sum(),
        }
        if math.isclose(found, right, rel_tol=1e-9):
            continue
        for words, wrong in mistakes.items():
            if math.isclose(found, float(wrong), rel_tol=1e-9):
                raise WrongAnswerError(f"what is yielded {words}", "E2")
        if i and math.isclose(found, _so_far(log, i, count), rel_tol=1e-9):
            raise WrongAnswerError(
                "what is yielded adds up over epochs: start each from zero", "E2"
            )
        raise WrongAnswerError("what is yielded is not the mean of the epoch's losses", "E2")


def _so_far(log: Log, i: int, count: int) -> float:
    epochs = log.batches[: (i + 1) * count]
    return sum(len(x) * v for x, _, v in epochs) / sum(len(x) for x, _, _ in epochs[:count])
