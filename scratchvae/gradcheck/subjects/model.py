"""A whole VAE as a subject: every image's objective as a function of every parameter."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.points import point, unit_interval
from scratchvae.gradcheck.report import UncheckableError
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.gradcheck.subjects.buffered import BufferedSubject, Buffers
from scratchvae.gradcheck.subjects.layer import draw_parameters
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE


class ModelSubject(BufferedSubject):
    """Its outputs are the terms of E2, [nll (B·K) | kl (B·Z)]; its cotangent is one weight.

    For an estimator whose value is no sum of those, the outputs are its objective (B,).
    """

    vae: VAE
    rows: int

    def expand_cotangent(self, w: NDArray) -> NDArray:
        latents = np.zeros(self.rows * self.vae.latent_dim)
        return np.concatenate([np.full(self.rows, float(w)), latents])

    def permuted(self, order: NDArray) -> "BufferedSubject":
        return model_subject(
            self.vae, self.constants["x"][order], self.constants["eps"][order],
            self.args, name=self.name,
        )  # fmt: skip


def require_derivative(vae: VAE) -> None:
    """``UncheckableError`` for an estimator whose gradient is not the derivative of its value."""
    if not vae.estimator.gradient_matches_value:
        raise UncheckableError(
            f"the gradient of the estimator {vae.estimator.name!r} is not the derivative of its "
            "value: the registry checks it against its own formula"
        )


def normal_parameters(vae: VAE, scale: float, seed: int = 0, name: str = "VAE") -> Arrays:
    """Normal parameters of the standard deviation ``scale`` / √fan_in, or / 2 for vectors."""
    return {
        n: scale * point(s, seed, f"{name} {n}") / np.sqrt(s[0] if len(s) > 1 else 4)
        for n, s in vae.layout.shapes.items()
    }


def model_subject(
    vae: VAE,
    x: NDArray | None = None,
    eps: NDArray | None = None,
    parameters: Mapping[str, NDArray] | None = None,
    rows: int = 3,
    seed: int = 0,
    name: str = "VAE",
) -> ModelSubject:
    """The objective of a VAE at images x (B, D), noise ε (B, K, Z) and parameters by name.

    What isn't given is drawn: grey pixels, normal noise, and :func:`normal_parameters`. Raises
    ``UncheckableError`` for an estimator whose gradient is not the derivative of its value.
    """
    require_derivative(vae)
    if x is None:
        x = unit_interval((rows, vae.pixels), seed, f"{name} x")
    rows = len(x)
    if eps is None:
        eps = point((rows, vae.samples, vae.latent_dim), seed, f"{name} eps")
    shapes = vae.layout.shapes
    if parameters is None:
        parameters = normal_parameters(vae, 1.0, seed, name)
    values = draw_parameters(shapes, parameters, seed, name)

    def setup(bk: Backend, buffers: Buffers) -> None:
        params, grads = FlatBuffer(bk, vae.layout), FlatBuffer(bk, vae.layout)
        workspace = Workspace(bk, rows)
        bound = vae.bind(workspace, params, grads)
        buffers |= {n: params[n] for n in shapes} | {f"d {n}": grads[n] for n in shapes}
        buffers |= {"bound": bound, "workspace": workspace, "x": bound.x, "eps": bound.eps}

    def collect(buffers: Buffers, name: str) -> None:
        buffers[name][:rows] = buffers["bound"].objective
        buffers[name][rows:] = buffers["bound"].kl.reshape(-1)

    def forward(bk: Backend, buffers: Buffers) -> None:
        buffers["bound"].loss()
        collect(buffers, "value")

    def backward(bk: Backend, buffers: Buffers) -> None:
        buffers["bound"].loss_and_gradient(float(np.real(bk.to_host(buffers["w"]))))
        collect(buffers, "value_again")

    size = rows * (1 + vae.latent_dim)
    subject = ModelSubject(
        name=name,
        args=values,
        constants={"x": x, "eps": eps},
        w_shape=(),
        y="value",
        writes={"value": (size,), "value_again": (size,)},
        gradients={n: f"d {n}" for n in shapes},
        forward=forward,
        backward=backward,
        setup=setup,
        sizes={
            "the batch size": rows,
            "the pixels": vae.pixels,
            "the latent units": vae.latent_dim,
            "the samples": vae.samples,
        },
        runs_forward=True,
        value_again="value_again",
        accepts_views=False,
    )
    subject.vae, subject.rows = vae, rows
    return subject
