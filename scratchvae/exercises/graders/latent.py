"""The latent node: reparameterization and the divergence from the prior."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy import special

from scratchvae.exercises.verdict import (
    array,
    call,
    compare,
    compare_gradient,
    require_right,
    several,
)
from scratchvae.gradcheck import check_gradient

B, Z = 5, 3
RNG = np.random.default_rng(9)
MU, LOGVAR = RNG.normal(size=(B, Z)), RNG.normal(size=(B, Z))
EPS, DZ = RNG.normal(size=(B, Z)), RNG.normal(size=(B, Z))
SIGMA = np.exp(LOGVAR / 2)
WEIGHT, BETA = 0.2, 1.7
SIZES = {"the latent units": Z, "the number of images": B}


def reparameterize(student: ModuleType) -> None:
    """E12: z is that quantile of N(μ, σ²) which ε is of N(0, 1)."""
    shapes = {"σ": (B, Z), "z": (B, Z)}
    value = call(student, "reparameterize", "E12", MU, LOGVAR, EPS)
    sigma, z = several(value, shapes, "reparameterize", "E12")
    mistakes: dict[str, Any] = {
        "this is the variance, not the standard deviation": np.exp(LOGVAR),
        "the logarithm is still there": LOGVAR / 2,
        "this is log σ² itself": LOGVAR,
        "this is 1/σ": 1 / SIGMA,
        "this is σ⁴: half of the logarithm, not twice": np.exp(2 * LOGVAR),
    }
    compare(sigma, np.sqrt(np.exp(LOGVAR)), "σ", "E12", SIZES, mistakes)
    right = MU + SIGMA * special.ndtri(special.ndtr(EPS))
    mistakes = {
        "the noise is not scaled by σ": MU + EPS,
        "the noise is scaled by the variance": MU + SIGMA**2 * EPS,
        "there is no noise in it": MU,
        "σ is added without its noise": MU + SIGMA,
        "the mean is not added": SIGMA * EPS,
        "the mean is scaled as well": SIGMA * (MU + EPS),
        "the noise is subtracted": MU - SIGMA * EPS,
        "μ and σ are exchanged": SIGMA + MU * EPS,
        "σ scales μ, where it should scale the noise": SIGMA * MU + EPS,
        "one noise is used for all": MU + SIGMA * EPS[:, :1],
    }
    compare(z, right, "z", "E12", SIZES, mistakes, tolerance=1e-8)


def reparameterize_grad(student: ModuleType) -> None:
    """E13, by a complex step through E12."""
    shapes = {"dμ": (B, Z), "d log σ²": (B, Z)}

    def gradients(logvar: NDArray, dz: NDArray) -> list[NDArray]:
        value = call(student, "reparameterize_grad", "E13", dz, EPS, np.exp(logvar / 2))
        return several(value, shapes, "reparameterize_grad", "E13")

    mistakes = {
        "this is the derivative with respect to σ, not to log σ²": DZ * EPS,
        "the noise is missing": DZ * SIGMA / 2,
        "σ² where σ belongs": DZ * EPS * SIGMA**2 / 2,
        "dz is missing: the chain rule multiplies by it": EPS * SIGMA / 2,
        "σ is in the denominator": DZ * EPS / SIGMA / 2,
        "the noise is squared": DZ * EPS**2 * SIGMA / 2,
    }
    exact = DZ * EPS * np.sqrt(np.exp(LOGVAR)) / 2
    dmu, dlogvar = gradients(LOGVAR, DZ)
    compare_gradient(dmu, DZ, "dμ", "E13", SIZES, {"it is scaled by σ": DZ * SIGMA})
    compare_gradient(dlogvar, exact, "d log σ²", "E13", SIZES, mistakes)
    report = check_gradient(
        lambda mu, logvar: mu + np.exp(logvar / 2) * EPS, MU, LOGVAR,
        vjp=lambda mu, logvar, dz: gradients(logvar, dz),
    )  # fmt: skip
    require_right(report, "reparameterize_grad", "E13")


def divergence(mu: NDArray, logvar: NDArray) -> NDArray:
    """E_q[log q − log p] of each unit by Gauss–Hermite quadrature, exact for normal densities."""
    nodes, weights = hermegauss(4)
    total = 0.0 * mu
    for t, w in zip(nodes, weights / weights.sum(), strict=True):
        z = mu + np.exp(logvar / 2) * t
        total = total + w * (z * z - t * t - logvar) / 2
    return total


def kl(student: ModuleType) -> None:
    """E16, against quadrature."""
    terms = divergence(MU, LOGVAR)
    found = array(call(student, "kl", "E16", MU, SIGMA, LOGVAR), (B,), "KL", "E16")
    mistakes = {
        "σ where σ² belongs": (terms + (SIGMA - SIGMA**2) / 2).sum(axis=1),
        "log σ² is squared where σ² belongs": (terms + (LOGVAR**2 - SIGMA**2) / 2).sum(axis=1),
        "the −1 is missing, once for each unit": (terms + 0.5).sum(axis=1),
        "the 1 has the wrong sign": (terms + 1.0).sum(axis=1),
        "the 1 is subtracted once, not for each unit": (terms + 0.5).sum(axis=1) - 0.5,
        "log σ² has the wrong sign": (terms + LOGVAR).sum(axis=1),
        "log σ where log σ² belongs": (terms + LOGVAR / 4).sum(axis=1),
        "log σ² is missing": (terms + LOGVAR / 2).sum(axis=1),
        "μ² is missing": (terms - MU**2 / 2).sum(axis=1),
        "μ where μ² belongs": (terms + (MU - MU**2) / 2).sum(axis=1),
        "it is the divergence of the prior from q: the other way round": (
            ((1 + MU**2) / SIGMA**2 - 1 + LOGVAR).sum(axis=1) / 2
        ),
    }
    compare(found, terms.sum(axis=1), "KL", "E16", SIZES, mistakes)


def kl_grad(student: ModuleType) -> None:
    """E17, by a complex step through the quadrature; what was there before stays in the sum."""
    shapes = {"dμ": (B, Z), "d log σ²": (B, Z)}

    def gradients(mu: NDArray, logvar: NDArray) -> list[NDArray]:
        arguments = mu, np.exp(logvar / 2), WEIGHT, BETA, DZ.copy(), EPS.copy()
        value = call(student, "kl_grad", "E17", *arguments, writes=(4, 5))
        return several(value, shapes, "kl_grad", "E17")

    s2, c = np.exp(LOGVAR), WEIGHT * BETA
    dmu, dlogvar = gradients(MU, LOGVAR)
    lost = "what came from the likelihood is lost: the gradient of the KL is added to it"
    mistakes = {
        lost: c * MU,
        "the weight w is missing": DZ + BETA * MU,
        "β is missing": DZ + WEIGHT * MU,
        "w and β are missing": DZ + MU,
        "the sign is wrong": DZ - c * MU,
        "half the right gradient: a ½ too many?": DZ + c * MU / 2,
        "twice the right gradient: a missing ½?": DZ + 2 * c * MU,
        "this is the term of the KL itself, not its derivative": DZ + c * MU**2 / 2,
        "nothing is added": DZ,
    }
    compare_gradient(dmu, DZ + c * MU, "dμ", "E17", SIZES, mistakes, base=DZ)
    one = (s2 - 1) / 2
    mistakes = {
        lost: c * one,
        "the weight w is missing": EPS + BETA * one,
        "β is missing": EPS + WEIGHT * one,
        "w and β are missing": EPS + one,
        "the sign is wrong": EPS - c * one,
        "this is the derivative with respect to σ, not to log σ²": EPS + c * (SIGMA - 1 / SIGMA),
        "this is the derivative with respect to σ², not to log σ²": EPS + c * (1 - 1 / s2) / 2,
        "this is the term of the KL itself, not its derivative": EPS + c * (s2 - 1 - LOGVAR) / 2,
        "twice the right gradient: a missing ½?": EPS + 2 * c * one,
        "half the right gradient: a ½ too many?": EPS + c * one / 2,
        "σ where σ² belongs": EPS + c * (SIGMA - 1) / 2,
        "the ½ belongs to both terms": EPS + c * (s2 / 2 - 1),
        "the ½ belongs to both terms, σ² and 1": EPS + c * (s2 - 0.5),
        "the derivative of −log σ² is missing": EPS + c * s2 / 2,
        "nothing is added": EPS,
    }
    compare_gradient(dlogvar, EPS + c * one, "d log σ²", "E17", SIZES, mistakes, base=EPS)
    report = check_gradient(
        lambda mu, logvar: np.sum(DZ * mu + EPS * logvar + c * divergence(mu, logvar)), MU, LOGVAR,
        vjp=lambda mu, logvar, dy: gradients(mu, logvar),
    )  # fmt: skip
    require_right(report, "kl_grad", "E17")
