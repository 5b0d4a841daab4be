"""The whole backward pass, stage by stage from the loss, each against a complex step."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from scratchvae import reference
from scratchvae.exercises.graders.latent import divergence
from scratchvae.exercises.graders.likelihood import cross_entropy
from scratchvae.exercises.verdict import WrongAnswerError, array, call, compare, compare_gradient

B, D, H, Z, BETA = 6, 5, 4, 2, 1.7
RNG = np.random.default_rng(10)
X, EPS = RNG.random((B, D)), RNG.normal(size=(B, Z))
STEP = 2.0**-100
HEAD = 3  # the encoder's last bias among all arrays
SIZES = {"the number of images": B, "the pixels": D, "the latent units": Z}
Slopes = list[NDArray]


def drawn_vae() -> reference.VAE:
    """Small networks whose biases are not zero."""
    vae = reference.VAE(
        reference.initial_network((D, H, 2 * Z), RNG), reference.initial_network((Z, H, D), RNG)
    )
    for a in vae.arrays():
        a += 0.2 * RNG.normal(size=a.shape)
    return vae


VAE = drawn_vae()


def terms(vae: reference.VAE) -> tuple[NDArray, NDArray]:
    """−log p(x|z) and KL per image, complex or real, without anything of the student's."""
    head = reference.run(vae.encoder, X)[1]
    mu, logvar = head[:, :Z], head[:, Z:]
    a = reference.run(vae.decoder, mu + np.exp(logvar / 2) * EPS)[1]
    return (np.log1p(np.exp(a)) - X * a).sum(axis=1), divergence(mu, logvar).sum(axis=1)


def slopes() -> tuple[Slopes, Slopes]:
    """The gradients of mean(nll) and of mean(KL), array by array, by complex step."""
    shifted = reference.VAE(*([(W + 0j, b + 0j) for W, b in network] for network in VAE))
    found: tuple[Slopes, Slopes] = ([], [])
    for p in shifted.arrays():
        of_p = [np.empty(p.shape), np.empty(p.shape)]
        for index in np.ndindex(p.shape):
            p[index] += 1j * STEP
            for slope, term in zip(of_p, terms(shifted), strict=True):
                slope[index] = term.mean().imag / STEP
            p[index] -= 1j * STEP
        found[0].append(of_p[0])
        found[1].append(of_p[1])
    return found


def loss_and_gradient(student: ModuleType) -> None:
    """The loss against SciPy; then da, dμ, d log σ² and every array, as they come in backward."""
    result = call(student, "loss_and_gradient", "E2", VAE, X, EPS, BETA)
    if not isinstance(result, tuple | list) or len(result) != 4:
        raise WrongAnswerError(
            "loss_and_gradient returns loss, nll, kl and a VAE: keep its return", "E2"
        )
    loss, nll, _, gradient = result
    a = _values(loss, nll)
    found = _arrays_of(gradient)
    of_nll, of_kl = slopes()
    right = [n + BETA * k for n, k in zip(of_nll, of_kl, strict=True)]
    _da(found[-1], right[-1], a)
    for i in (6, 5, 4):
        what = f"the decoder's array {i - 3} of 4 (W, b, W, b)"
        compare_gradient(found[i], right[i], what, "E5", SIZES)
    if np.array_equal(found[HEAD][:Z], found[HEAD][Z:]):
        raise WrongAnswerError("dμ and d log σ² are the same: one stands twice", "E13 + E17")
    for part, what in ((slice(0, Z), "dμ"), (slice(Z, 2 * Z), "d log σ²")):
        _head(what, found[HEAD][part], of_nll[HEAD][part], of_kl[HEAD][part])
    for i in (2, 1, 0):
        what = f"the encoder's array {i + 1} of 4 (W, b, W, b)"
        compare_gradient(found[i], right[i], what, "E5", SIZES)


def _values(loss: object, nll: object) -> NDArray:
    """The values, which were given, and may have been changed; the logits."""
    head = reference.run(VAE.encoder, X)[1]
    a = reference.run(VAE.decoder, head[:, :Z] + np.exp(head[:, Z:] / 2) * EPS)[1]
    of_nll, of_kl = terms(VAE)
    right = np.asarray((of_nll + BETA * of_kl).mean())
    compare(array(loss, (), "the loss", "E2"), right, "the loss, which was given", "E2", SIZES)
    compare(array(nll, (B,), "nll", "E18"), cross_entropy(X, a).sum(axis=1), "nll", "E18")
    return a


def _arrays_of(gradient: Any) -> Slopes:
    """The arrays of what the student returned for the gradient."""
    try:
        found = [np.asarray(g) for g in gradient.arrays()]
    except (AttributeError, TypeError, ValueError):
        words = "the gradient is not a VAE(encoder_gradient, decoder_gradient)"
        raise WrongAnswerError(words, "E2") from None
    if [g.shape for g in found] == [p.shape for p in VAE.arrays()[4:] + VAE.arrays()[:4]]:
        raise WrongAnswerError("the gradients of encoder and decoder are exchanged", "E2")
    if [g.shape for g in found] != [p.shape for p in VAE.arrays()]:
        shapes = ", ".join(str(g.shape) for g in found)
        raise WrongAnswerError(
            f"the gradient's arrays have other shapes than the VAE's: {shapes}", "E5"
        )
    return found


def _da(found: NDArray, right: NDArray, a: NDArray) -> None:
    """The gradient with respect to the logits, summed over the images in a bias."""
    s = special.expit(a)
    mistakes = {
        "the softplus is taken for the probability": (np.logaddexp(0, a) - X).mean(axis=0),
        "a factor s (1 − s) too many: it has cancelled": ((s - X) * s * (1 - s)).mean(axis=0),
        "the images are not subtracted": s.mean(axis=0),
        "the logits are taken for probabilities": (a - X).mean(axis=0),
    }
    what = "da, seen in the decoder's last bias"
    compare_gradient(found, right, what, "E19", SIZES, mistakes)


def _head(what: str, found: NDArray, n: NDArray, k: NDArray) -> None:
    """dμ or d log σ², summed over the images in a bias: n of the likelihood and β k of the KL."""
    mistakes = {
        "the part of the KL is missing": n,
        "the part of the likelihood is missing": BETA * k,
        "β is missing in the part of the KL": n + k,
        "the part of the KL has the wrong sign": n - BETA * k,
        "the part of the KL is a sum over the images, not a mean": n + B * BETA * k,
        "the part of the KL is twice what it should be: a missing ½?": n + 2 * BETA * k,
        "the part of the likelihood is twice what it should be: a missing ½?": 2 * n + BETA * k,
        "β multiplies the part of the likelihood as well": BETA * (n + k),
    }
    where = f"{what}, seen in the encoder's last bias"
    compare_gradient(found, n + BETA * k, where, "E13 + E17", SIZES, mistakes)
