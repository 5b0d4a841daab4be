"""Several samples: log-mean-exp, importance weights, path derivatives, log p(x)."""

import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from scratchvae.backend import get_backend
from scratchvae.exercises.verdict import (
    WrongAnswerError,
    array,
    call,
    close,
    compare,
    compare_gradient,
    function_of,
    guarded,
    require_right,
)
from scratchvae.gradcheck import check_gradient

RNG = np.random.default_rng(13)
BK = get_backend("cpu", "float64", compiled=False)
N, K, Z = 4, 6, 3
SIZES = {"the number of samples": K, "the number of rows": N}


def log_mean_exp(student: ModuleType) -> None:
    """E59's inner part, against scipy.special.logsumexp: one block, several, large, and −∞."""
    a = RNG.normal(size=(N, K))
    sums = special.logsumexp(a, axis=1)
    mistakes = {
        "log K is not subtracted: a sum for a mean?": sums,
        "log K is added": sums + math.log(K),
        "this is the mean of a: the logarithm is inside of the mean": a.mean(axis=1),
        "the largest a is not added again": logs_of_means(a) - a.max(axis=1),
        "the largest a is added, but was not taken out of the sum": logs_of_means(a)
        + a.max(axis=1),
        "the largest a is subtracted": logs_of_means(a) - 2 * a.max(axis=1),
        "this is the mean itself, without its logarithm": np.exp(a).mean(axis=1),
        "K is divided by, where its logarithm should be subtracted": sums / K,
    }
    compare(
        _mean_of(student, a), logs_of_means(a), "the value of one block", "E59", SIZES, mistakes
    )
    rising = np.sort(RNG.normal(size=(N, K)), axis=1) * 3
    for name, order in (("rising", rising), ("falling", rising[:, ::-1])):
        _three_blocks(student, f"three blocks, {name}", order)
    for far in (-100_000.0, 5_000.0):
        found = _mean_of(student, a + far)
        if not np.all(np.isfinite(found)):
            raise WrongAnswerError(
                f"not finite for a around {far:,.0f}: e^a under- or overflows", "E59"
            )
        compare(found, logs_of_means(a + far), f"the value for a around {far:,.0f}", "E59")
    apart = a + 1000.0 * np.arange(N)[:, None]
    if not close(_mean_of(student, apart[:, :3], apart[:, 3:]), logs_of_means(apart)):
        raise WrongAnswerError(
            "rows of very different sizes disturb each other: each row has its own largest a", "E59"
        )
    some = np.where(np.arange(K) % 2, a, -np.inf)
    for name, b in (("some a are −∞", some), ("all a are −∞", np.full((N, K), -np.inf))):
        if not close(_mean_of(student, b[:, :3], b[:, 3:]), logs_of_means(b)):
            raise WrongAnswerError(f"wrong, or NaN, where {name}", "E59")


def logs_of_means(a: NDArray) -> NDArray:
    """log 1/K Σ_k e^a_k of each row, by SciPy."""
    return np.asarray(special.logsumexp(a, axis=1) - math.log(a.shape[1]))


def _mean_of(student: ModuleType, *blocks: NDArray) -> NDArray:
    """What the student's class comes to after these blocks."""
    make = function_of(student, "LogMeanExp", "E59")

    def run() -> Any:
        found = make(len(blocks[0]))
        for block in blocks:
            found.add(block.copy())
        return found.value()

    result = guarded(student, "LogMeanExp", "E59", run)
    return array(result, (len(blocks[0]),), "value()", "E59")


def _three_blocks(student: ModuleType, what: str, a: NDArray) -> None:
    """Blocks of 2, 1 and 3 samples, of which the largest are in the last or in the first."""
    found, last = _mean_of(student, a[:, :2], a[:, 2:3], a[:, 3:]), logs_of_means(a[:, 3:])
    if close(found, logs_of_means(a)):
        return
    mistakes = {
        "only the last block counts": last,
        "what was summed before is lost": last - math.log(K / 3),
        "K is the size of the last block, not of all": logs_of_means(a) + math.log(K / 3),
    }
    for words, wrong in mistakes.items():
        if close(found, wrong):
            raise WrongAnswerError(f"{what}: {words}", "E59")
    raise WrongAnswerError(
        f"{what}: what was summed before is not rescaled to the largest so far, or by the wrong "
        "factor",
        "E59",
    )


def importance_bound(student: ModuleType) -> None:
    """E50, against SciPy's logsumexp and softmax."""
    cost = RNG.normal(size=(N, K)) + 3
    bound, weights = _bound_of(student, cost)
    for name, a in (("bound", bound), ("weights", weights)):
        if np.all(np.isnan(a)):
            raise WrongAnswerError(
                f"nothing (or NaN) is in {name}: write into the array, as in {name}[...] = …", "E50"
            )
    soft, least = special.softmax(-cost, axis=1), cost.min(axis=1, keepdims=True)
    mistakes = {
        "the sign of the costs in the exponential": special.softmax(cost, axis=1),
        "they are not divided by their sum": np.exp(-cost),
        "they are not divided by their sum, and relative to the largest": np.exp(least - cost),
        "they are divided by the sum over all images and samples": (
            np.exp(least - cost) / np.exp(least - cost).sum()
        ),
        "they are divided by the sum over images, not over samples": special.softmax(-cost, axis=0),
        "these are logarithms of weights": special.log_softmax(-cost, axis=1),
        "they are divided by K, not by their sum": np.exp(least - cost) / K,
        "they are all the same: 1/K": np.full((N, K), 1 / K),
        "they are divided by their mean": K * soft,
    }
    compare(weights, soft, "weights", "E50", SIZES, mistakes)
    right, smallest = -logs_of_means(-cost), cost.min(axis=1)
    mistakes = {
        "log K is missing: a sum for a mean?": right - math.log(K),
        "log K has the wrong sign": right - 2 * math.log(K),
        "the sign is wrong": -right,
        "this is the mean cost: the logarithm is inside of the mean": cost.mean(axis=1),
        "the shift is not added again": right - smallest,
        "the shift has the wrong sign": right - 2 * smallest,
        "this is the weighted mean of the costs": (soft * cost).sum(axis=1),
        "this is the smallest cost": smallest,
    }
    compare(bound, right, "bound", "E50", SIZES, mistakes)
    for far in (100_000.0, -5_000.0):
        bound, weights = _bound_of(student, cost + far)
        if not np.all(np.isfinite(bound)) or not np.all(np.isfinite(weights)):
            raise WrongAnswerError(
                f"not finite for costs around {far:,.0f}: e^−cost under- or overflows", "E50"
            )
        compare(weights, soft, f"weights for costs around {far:,.0f}", "E50", tolerance=1e-8)
        compare(bound, right + far, f"bound for costs around {far:,.0f}", "E50")


def _bound_of(student: ModuleType, cost: NDArray) -> tuple[NDArray, NDArray]:
    """The bound and the weights that the student's function writes."""
    n, k = cost.shape
    bound, weights, shift = (np.full(s, np.nan) for s in ((n,), (n, k), (n, 1)))
    given = (BK, cost, bound, weights, shift)
    value = call(student, "importance_bound", "E50", *given, writes=(0, 2, 3, 4))
    if value is not None:
        raise WrongAnswerError("a value is returned: write into bound and weights instead", "E50")
    return bound, weights


def path_grad(student: ModuleType) -> None:
    """E52, by a complex step through log q − log p with μ and σ held."""
    label = "E52"
    mu, sigma = RNG.normal(size=(N, Z)), np.exp(RNG.normal(size=(N, Z)) / 2)
    eps, start = RNG.normal(size=(N, K, Z)), RNG.normal(size=(N, K, Z))
    weight = RNG.random((N, K, 1))

    def log_ratio(z: NDArray) -> NDArray:
        inner = (z - mu[:, None]) / sigma[:, None]
        return np.asarray((z * z - inner * inner) / 2)

    def gradient(z: NDArray) -> NDArray:
        noise, dz = (z - mu[:, None]) / sigma[:, None], start.copy()
        given = (BK, sigma, z, noise, weight, dz, np.full_like(z, np.nan))
        value = call(student, "path_grad", label, *given, writes=(0, 5, 6))
        if value is not None:
            raise WrongAnswerError("a value is returned: add to dz instead, dz += …", label)
        if np.array_equal(dz, start):
            raise WrongAnswerError(
                "dz is as before: add to it, dz += …; a new array is lost", label
            )
        return dz

    z = mu[:, None] + sigma[:, None] * eps
    s = sigma[:, None]
    lost = "what was in dz before is lost: the derivative is added to it"
    right = z - eps / s
    mistakes = {
        lost: weight * right,
        "the weight is missing": start + right,
        "the part of log q is missing: this is E46": start + weight * z,
        "the part of log p is missing": start - weight * eps / s,
        "log q and log p have the same sign: a sign in one of them": start + weight * (z + eps / s),
        "the sign is wrong": start - weight * right,
        "ε is divided by σ²: (z − μ) is σ ε, not ε": start + weight * (z - eps / s**2),
        "ε is multiplied by σ": start + weight * (z - eps * s),
        "ε is not divided by σ": start + weight * (z - eps),
        "the ½ is still there: a square has been differentiated": start + weight * right / 2,
        "half of it: log p": start + weight * (z / 2 - eps / s),
    }
    right = start + weight * right
    compare_gradient(gradient(z), right, "dz", label, SIZES, mistakes, base=start)
    report = check_gradient(
        lambda z: np.sum(weight * log_ratio(z)), z, vjp=lambda z, dy: gradient(z) - start
    )
    require_right(report, "path_grad", label)


def log_weights(student: ModuleType) -> None:
    """E59: SciPy's densities, and a model whose p(x) is known, with its exact posterior."""
    from scipy import stats  # half a second, which no other exercise needs

    label = "E59"
    head = RNG.normal(size=(N, 2 * Z))
    eps, nll = RNG.normal(size=(N, K, Z)), RNG.random((N, K)) * 50
    mu, logvar = head[:, None, :Z], head[:, None, Z:]
    z = mu + np.exp(logvar / 2) * eps
    log_p = stats.norm.logpdf(z).sum(axis=2)
    log_q = stats.norm.logpdf(z, mu, np.exp(logvar / 2)).sum(axis=2)
    found = array(call(student, "log_weights", label, head, eps, nll), (N, K), "log w", label)
    half = Z * math.log(2 * math.pi) / 2
    spread = logvar.sum(axis=2)
    mistakes = {
        "−log p(x|z) has the wrong sign": nll + log_p - log_q,
        "−log p(x|z) is missing": log_p - log_q,
        "prior and q are exchanged": -nll + log_q - log_p,
        "all of it has the wrong sign": nll - log_p + log_q,
        "log q is missing": -nll + log_p,
        "log p(z) is missing": -nll - log_q,
        "log σ² is missing": -nll + log_p - log_q - spread / 2,
        "log σ² has the wrong sign": -nll + log_p - log_q - spread,
        "the ½ before log σ² is missing": -nll + log_p - log_q + spread / 2,
        "the ½ is missing": -nll + 2 * (log_p - log_q),
        "the units are averaged, where they should be summed": -nll + (log_p - log_q) / Z,
        "½ log 2π, once for each unit, is left over": -nll + log_p - log_q + half,
        "½ log 2π, once for each unit, is left over, with a minus": -nll + log_p - log_q - half,
        "these are weights, not their logarithms": np.exp(-nll + log_p - log_q),
        "σ² where σ belongs, in z": _with_variance(head, eps, nll),
    }
    compare(found, -nll + log_p - log_q, "log w", label, SIZES, mistakes)
    # x = z + noise of deviation s: then p(x) = N(0, 1 + s²), and the posterior is normal as well.
    x, s = RNG.normal(size=(N, 1)), 0.5
    posterior = np.hstack([x / (1 + s**2), np.full((N, 1), math.log(s**2 / (1 + s**2)))])
    z = posterior[:, None, :1] + np.exp(posterior[:, None, 1:] / 2) * eps[:, :, :1]
    nll = -stats.norm.logpdf(x[:, None], z, s)[:, :, 0]
    given = (posterior, eps[:, :, :1].copy(), nll)
    found = array(call(student, "log_weights", label, *given), (N, K), "log w", label)
    exact = np.repeat(stats.norm.logpdf(x, 0, math.sqrt(1 + s**2)), K, axis=1)
    compare(found, exact, "log w with the exact posterior, where every one is log p(x)", label)


def _with_variance(head: NDArray, eps: NDArray, nll: NDArray) -> NDArray:
    z = head[:, None, :Z] + np.exp(head[:, None, Z:]) * eps
    each = (eps**2 - z**2 + head[:, None, Z:]).sum(axis=2) / 2
    return np.asarray(each - nll)
