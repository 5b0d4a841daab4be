"""The variational autoencoder in plain NumPy: its loss, its gradient by hand, Adam, and training.

    x ── encoder ──▶ μ, log σ² ──▶ z = μ + σ ε ── decoder ──▶ logits a        with ε ~ N(0, I)
    loss = −log p(x|z) + β KL(q(z|x) ‖ p(z)), averaged over the images, in nats per image

Each formula is one line, and its label, such as E12, leads to its derivation in
docs/derivations.md. For B images of D pixels between 0 and 1, and Z latent units, x and a have the
shape (B, D); μ, log σ², σ, ε and z have (B, Z). dy is the gradient of the loss with respect to y.
The rest of the package does the same faster and for more; its tests hold it equal to this file.

``python -m scratchvae.reference`` trains on 1,797 handwritten digits in a few seconds.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray
Network = list[tuple[Array, Array]]  # the weights W (I, O) and biases b (O,) of each dense layer
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Adam's β₁, β₂ and ε


class VAE(NamedTuple):
    """The parameters of the two networks; their gradient has the same form."""

    encoder: Network  # from D pixels through hidden layers to the 2Z columns of [μ | log σ²]
    decoder: Network  # from Z latent units through hidden layers to D logits

    def arrays(self) -> list[Array]:
        """Every W and b, from the first layer to the last."""
        return [array for layer in self.encoder + self.decoder for array in layer]


def initial_network(sizes: tuple[int, ...], rng: Generator) -> Network:
    """Glorot's weights, uniform between ±√(6 / (I + O)), and biases of zero  (E25)."""
    limits = [(i, o, np.sqrt(6 / (i + o))) for i, o in pairwise(sizes)]
    return [(rng.uniform(-c, c, size=(i, o)), np.zeros(o)) for i, o, c in limits]


def run(network: Network, x: Array) -> tuple[list[Array], Array]:
    """The input of every layer and the output of the last  (E3); a ReLU between two  (E10)."""
    inputs = []
    for W, b in network:
        inputs.append(x)
        y = x @ W + b  # E3
        x = np.maximum(y, 0)  # E10
    return inputs, y


def run_back(network: Network, inputs: list[Array], dy: Array) -> tuple[Network, Array]:
    """From dy of the last output: dW and db of every layer  (E5), dx of the first  (E4, E11)."""
    gradient = []
    for (W, _), x in zip(reversed(network), reversed(inputs), strict=True):
        dW, db = x.T @ dy, dy.sum(axis=0)  # E5
        gradient.append((dW, db))
        dx = dy @ W.T  # E4
        dy = np.where(x > 0, dx, 0)  # E11: x is the output of the ReLU below
    return gradient[::-1], dx


def loss_and_gradient(
    vae: VAE, x: Array, eps: Array, beta: float = 1.0
) -> tuple[float, Array, Array, VAE]:
    """The loss  (E2), −log p(x|z) and KL per image  (E16, E18), the gradient  (E13, E17, E19)."""
    encoder_inputs, head = run(vae.encoder, x)
    mu, logvar = np.split(head, 2, axis=1)
    sigma = np.exp(logvar / 2)  # E12
    z = mu + sigma * eps  # E12
    decoder_inputs, a = run(vae.decoder, z)
    softplus = np.maximum(a, 0) + np.log1p(np.exp(np.minimum(a, -a)))  # E18: log(1 + eᵃ)
    nll = (softplus - x * a).sum(axis=1)  # E18
    kl = (mu**2 + sigma**2 - 1 - logvar).sum(axis=1) / 2  # E16
    loss = (nll + beta * kl).mean()  # E2
    # Backward: the lines above in the opposite order, each by the chain rule.
    w = 1 / len(x)  # the weight of each image in the mean
    sigmoid = np.tanh(a / 2) / 2 + 0.5  # E6
    da = w * (sigmoid - x)  # E19
    decoder_gradient, dz = run_back(vae.decoder, decoder_inputs, da)
    dmu, dlogvar = dz, dz * eps * sigma / 2  # E13
    dmu, dlogvar = dmu + w * beta * mu, dlogvar + w * beta * (sigma**2 - 1) / 2  # E17
    encoder_gradient, _ = run_back(vae.encoder, encoder_inputs, np.hstack([dmu, dlogvar]))
    return loss, nll, kl, VAE(encoder_gradient, decoder_gradient)


def adam(p: Array, g: Array, m: Array, v: Array, t: int, lr: float = 1e-3) -> None:
    """Step t = 1, 2, …: moves p against its gradient g, updates their averages m and v  (E24)."""
    m[:] = BETA1 * m + (1 - BETA1) * g
    v[:] = BETA2 * v + (1 - BETA2) * g**2
    p -= lr * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPS)


def train(vae: VAE, images: Array, epochs: int, rng: Generator, rows: int = 64) -> Iterator[float]:
    """Updates the parameters by batches of ``rows`` images; yields the mean loss of each epoch."""
    latent, t = len(vae.decoder[0][0]), 0
    m, v = ([np.zeros_like(p) for p in vae.arrays()] for _ in range(2))
    for _ in range(epochs):
        order, total = rng.permutation(len(images)), 0.0
        for start in range(0, len(images), rows):
            x = images[order[start : start + rows]]
            loss, _, _, gradient = loss_and_gradient(vae, x, rng.standard_normal((len(x), latent)))
            t += 1
            for arrays in zip(vae.arrays(), gradient.arrays(), m, v, strict=True):
                adam(*arrays, t)
            total += loss * len(x)
        yield total / len(images)


if __name__ == "__main__":
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    vae = VAE(initial_network((64, 128, 2 * 8), rng), initial_network((8, 128, 64), rng))
    for epoch, loss in enumerate(train(vae, load_digits().data / 16, 10, rng), start=1):
        print(f"epoch {epoch:2}: {loss:.2f} nats per image")
