"""log p(x) of rows, whose noise depends on nothing but a seed and the row's own numbers."""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.evaluation import importance_sampled
from scratchvae.evaluation.nll import noise
from scratchvae.models import Model

Float64 = NDArray[np.float64]

LOWEST = -1e300  # nats, of a row whose numbers overflow: finite, and so is the mean of many


class LogDensity(NamedTuple):
    """log p(x) of each row in nats, or a bound of it, and its standard error by the draws of z."""

    log_p: Float64  # (N,)
    error: Float64  # (N,)


def importance_sampling(model: Model, rows: Float64, draws: int, seed: int) -> LogDensity:
    """log p(x) of rows (N, D) by importance sampling (E59) with ``draws`` draws of z."""
    with np.errstate(all="ignore"):
        found = [
            importance_sampled(model, row, samples=draws, seed=seed, first=number)
            for row, number in zip(rows, numbers_of(rows), strict=True)
        ]
    log_p, error = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("log_p", "error")
    )
    return finite(log_p, error)


def lower_bound(model: Model, rows: Float64, draws: int, seed: int) -> LogDensity:
    """E_q[log p(x|z)] − KL of rows (N, D), a lower bound (E1), the mean over ``draws`` draws."""
    model, shape = model.with_samples(draws), (1, draws, model.vae.latent_dim)
    bound, error = np.empty(len(rows)), np.empty(len(rows))
    for i, number in enumerate(numbers_of(rows)):
        with np.errstate(all="ignore"):
            nll, kl, _ = model.terms(rows[i], noise(shape, seed, number, 0))
            bound[i] = -nll.mean() - kl.sum()
            error[i] = nll.std() / np.sqrt(max(draws - 1, 1))
    return finite(bound, error)


def numbers_of(rows: Float64) -> list[int]:
    """A number from 0 to 2⁶⁴ − 1 for each row that depends on its values alone."""
    return [
        int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "little")
        for row in rows + 0.0  # where −0 is 0
    ]


def finite(log_p: Float64, error: Float64) -> LogDensity:
    """Numbers that overflowed are ``LOWEST``, with the error 0."""
    fine = np.isfinite(log_p) & np.isfinite(error)
    return LogDensity(np.where(fine, log_p, LOWEST), np.where(fine, error, 0.0))
