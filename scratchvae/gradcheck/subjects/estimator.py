"""An estimator of the bound as a subject, between an encoder's output and a decoder made simple.

In place of decoder and likelihood stands nll_k = Σ_j ½ c_j z_kj² + s_j z_kj, whose dz is known.
Where an estimator's gradient is the derivative of its value, that value is the function. The
others follow a derivative of something else, in which some quantities are *held* at the point:
that something, written out here, is the function then.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.points import direction
from scratchvae.gradcheck.subjects.buffered import BufferedSubject, Buffers
from scratchvae.latent import (
    Detached,
    DoublyReparameterized,
    Estimator,
    LatentBuffers,
    ScoreFunction,
    ScoreFunctionBaseline,
    StickingTheLanding,
    reparameterize,
)
from scratchvae.memory import Workspace


class EstimatorSubject(BufferedSubject):
    """Its output is [the function (B) | kl (B·Z)]; its cotangent, one weight, is for the function.

    The KL is there to be looked at: it is reported, so backward must leave it as it was.
    """

    def expand_cotangent(self, w: NDArray) -> NDArray:
        rows, columns = self.args["head"].shape
        return np.concatenate([np.full(rows, float(w)), np.zeros(rows * columns // 2)])


def estimator_subject(
    estimator: Estimator, head: NDArray, eps: NDArray, beta: float = 1.0, name: str = "estimator"
) -> EstimatorSubject:
    """The function that an estimator differentiates, of head = [μ | log σ²] (B, 2Z)  (E45 – E55).

    ``eps``: (B, K, Z).
    """
    rows, samples, latent = eps.shape
    estimator.require(samples, beta)
    surrogate = None if estimator.gradient_matches_value else surrogate_of(estimator)

    def setup(bk: Backend, buffers: Buffers) -> None:
        workspace = Workspace(bk, rows)
        latent_buffers = LatentBuffers(
            workspace, samples, latent, buffers["head"], buffers["dhead"]
        )
        latent_buffers.work = estimator.work(workspace, samples, latent)
        buffers |= {"node": latent_buffers, "eps": latent_buffers.eps, "workspace": workspace}

    def draw(bk: Backend, buffers: Buffers) -> LatentBuffers:
        latent_buffers: LatentBuffers = buffers["node"]
        reparameterize(
            bk, latent_buffers.head, latent_buffers.std, latent_buffers.eps, latent_buffers.z
        )
        latent_buffers.nll[...] = _nll(bk, latent_buffers.z, buffers)
        return latent_buffers

    def collect(buffers: Buffers, name: str, function: Array) -> None:
        buffers[name][:rows] = function
        buffers[name][rows:] = buffers["node"].kl.reshape(-1)

    def forward(bk: Backend, buffers: Buffers) -> None:
        latent_buffers = draw(bk, buffers)
        estimator.value(latent_buffers, beta)
        collect(
            buffers,
            "value",
            latent_buffers.objective if surrogate is None else surrogate(_held(bk, buffers, beta)),
        )

    def backward(bk: Backend, buffers: Buffers) -> None:
        latent_buffers, weight = draw(bk, buffers), float(np.real(bk.to_host(buffers["w"])))
        estimator.value(latent_buffers, beta)
        each = estimator.sample_weight(latent_buffers, weight)
        latent_buffers.dz[...] = (latent_buffers.z * buffers["c"] + buffers["s"]) * each
        estimator.grad_head(latent_buffers, weight, beta)
        if estimator.gradient_matches_value:
            collect(buffers, "value_again", latent_buffers.objective)

    return EstimatorSubject(
        name=name,
        args={"head": head},
        constants={
            "eps": eps,
            "held": head,
            "c": direction((latent,), 0, "curvature") ** 2,
            "s": direction((latent,), 0, "slope"),
        },
        w_shape=(),
        y="value",
        writes={
            "value": (rows * (1 + latent),),
            "value_again": (rows * (1 + latent),),
            "dhead": head.shape,
        },
        gradients={"head": "dhead"},
        forward=forward,
        backward=backward,
        setup=setup,
        batched=("head", "eps", "held"),
        sizes={"the batch size": rows, "the samples": samples, "the latent units": latent},
        runs_forward=True,
        value_again="value_again" if estimator.gradient_matches_value else None,
        accepts_views=False,
    )


def _nll(bk: Backend, z: Array, buffers: Buffers) -> Array:
    """(B, K, Z) -> (B, K)."""
    return bk.xp.sum(z * z * (buffers["c"] * 0.5) + z * buffers["s"], axis=2)


class Held(NamedTuple):
    """What the surrogates below are made of. Everything but log_q and moving is held: constant."""

    xp: Any
    log_q: Array  # (B, K): log q at the held sample, as a function of the parameters
    cost: Array  # (B, K): nll + β (log q − log p) at the held sample
    moving: Array  # (B, K): the same along the path: the sample moves, q's density is held
    beta: float
    samples: int

    @property
    def weights(self) -> Array:
        """(B, K): each sample's share of the importance weights."""
        odds = self.xp.exp(-self.cost)
        return odds / self.xp.sum(odds, axis=1)[:, None]


def _detached(h: Held) -> Array:
    return h.xp.sum(h.log_q, axis=1) * (h.beta / h.samples)


def _score(h: Held) -> Array:
    return h.xp.sum(h.cost * h.log_q, axis=1) * (1.0 / h.samples)


def _score_with_baseline(h: Held) -> Array:
    others = (h.xp.sum(h.cost, axis=1)[:, None] - h.cost) * (1.0 / (h.samples - 1))
    return h.xp.sum((h.cost - others) * h.log_q, axis=1) * (1.0 / h.samples)


def _sticking_the_landing(h: Held) -> Array:
    return h.xp.sum(h.weights * h.moving, axis=1)


def _doubly_reparameterized(h: Held) -> Array:
    return h.xp.sum(h.weights * h.weights * h.moving, axis=1)


# The function (B,) whose derivative each estimator follows. They are stated here once more, and not
# by the estimators, so that a check of an estimator is not one against itself.
SURROGATES: dict[type[Estimator], Callable[[Held], Array]] = {
    Detached: _detached,
    ScoreFunction: _score,
    ScoreFunctionBaseline: _score_with_baseline,
    StickingTheLanding: _sticking_the_landing,
    DoublyReparameterized: _doubly_reparameterized,
}


def surrogate_of(estimator: Estimator) -> Callable[[Held], Array]:
    """The function that an estimator follows; ``ConfigError`` where none is written down."""
    if type(estimator) not in SURROGATES:
        raise ConfigError(
            f"the gradient of {type(estimator).__name__} is not the derivative of its value, so "
            "its check needs the function that it does follow: set gradient_matches_value = True "
            f"if it is the derivative, or add the function to SURROGATES of {__name__}"
        )
    return SURROGATES[type(estimator)]


def _held(bk: Backend, buffers: Buffers, beta: float) -> Held:
    """Written with formulas of their own, not with the estimator's."""
    xp, latent_buffers = bk.xp, buffers["node"]
    mu0, std0 = _gaussian(bk, buffers["held"])
    mu, std = _gaussian(bk, latent_buffers.head)
    z0, z = mu0 + std0 * latent_buffers.eps, latent_buffers.z
    held_q, held_p = _log_density(bk, z0, mu0, std0), xp.sum(z0 * z0, axis=2) * -0.5
    path_q, path_p = _log_density(bk, z, mu0, std0), xp.sum(z * z, axis=2) * -0.5
    return Held(
        xp=xp,
        log_q=_log_density(bk, z0, mu, std),
        cost=_nll(bk, z0, buffers) + (held_q - held_p) * beta,
        moving=_nll(bk, z, buffers) + path_q - path_p,
        beta=beta,
        samples=latent_buffers.samples,
    )


def _gaussian(bk: Backend, head: Array) -> tuple[Array, Array]:
    """μ and σ, (B, 1, Z) each."""
    latent = head.shape[1] // 2
    return head[:, None, :latent], bk.xp.exp(head[:, None, latent:] * 0.5)


def _log_density(bk: Backend, z: Array, mu: Array, std: Array) -> Array:
    """log N(z; μ, σ²) without its constant: (B, K)."""
    scaled = (z - mu) / std
    return bk.xp.sum(scaled * scaled * -0.5 - bk.xp.log(std), axis=2)
