"""How far an estimator's gradient is off on average, and how much it scatters, layer by layer.

Parameters and images are fixed; only the noise ε is drawn again and again. Draws are dealt into
groups of independent draws, so that a squared distance between means can be estimated without the
noise of the means: a product of two groups' deviations has the square of the bias as its
expectation, the square of one group's deviation has the group's variance on top.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream
from scratchvae.errors import ConfigError
from scratchvae.latent import ESTIMATORS
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.models import Model
from scratchvae.models.inputs import grey_values
from scratchvae.types import Values

GROUPS = 20  # of draws; the standard error of a squared bias comes from them
BIAS_THRESHOLD = 4.0  # standard errors above zero from which on a squared bias counts as one

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class BiasVariance:
    """Bias and variance of a gradient in one layer, relative to the norm of the true gradient."""

    variance: float  # E‖g − E g‖² / ‖true‖²
    bias_squared: float  # ‖E g − true‖² / ‖true‖², unbiased: around zero where there is no bias
    bias_squared_error: float  # its standard error, by the jackknife over groups of draws
    noise_error: float  # the part of it that is not the norm's: of bias_squared, were that known

    @property
    def known(self) -> bool:
        """Whether the true gradient could be told from zero; all numbers are NaN if not."""
        return not math.isnan(self.variance)

    @property
    def biased(self) -> bool:
        """Whether the bias is significant: its square > ``BIAS_THRESHOLD`` standard errors."""
        return self.bias_squared > BIAS_THRESHOLD * self.noise_error

    @property
    def bias(self) -> float:
        """‖E g − true‖ / ‖true‖; 0 if the estimate of its square is negative."""
        return _root(self.bias_squared)

    @property
    def bias_error(self) -> float:
        """The standard error of the bias, from that of its square: half the interval's width."""
        low = _root(self.bias_squared - self.bias_squared_error)
        return (_root(self.bias_squared + self.bias_squared_error) - low) / 2

    @property
    def limit(self) -> float:
        """The smallest bias that would have been significant, relative to ‖true‖."""
        return math.sqrt(max(self.bias_squared, 0.0) + BIAS_THRESHOLD * self.noise_error)


def _root(square: float) -> float:
    return 0.0 if square < 0 else math.sqrt(square)


class Draws:
    """Running means and squared deviations of ``count`` vectors (P,), per group and over all."""

    def __init__(self, size: int, count: int, groups: int = GROUPS) -> None:
        if count < groups:
            raise ConfigError(f"at least {groups} draws are needed, not {count}")
        self.count, self.seen = count, 0
        self.sums = np.zeros((groups, size))  # by group, of deviations from the first vector
        self.sizes = np.zeros((groups, 1))
        self.squares = np.zeros(size)
        self.first = np.zeros(size)

    def add(self, vector: NDArray) -> None:
        """Add the next of the ``count`` vectors (P,); consecutive ones belong to one group."""
        if self.seen == 0:
            self.first[...] = vector
        away = vector - self.first  # float64, and small: nothing cancels in the variance below
        group = self.seen * len(self.sums) // self.count
        self.sums[group] += away
        self.sizes[group] += 1
        self.squares += away * away
        self.seen += 1

    @property
    def means(self) -> Float64:
        """The mean of every group: (groups, P)."""
        return self.sums / self.sizes + self.first

    @property
    def variances(self) -> Float64:
        """The variance of every element, unbiased: (P,)."""
        total = self.sums.sum(axis=0)
        return (self.squares - total * total / self.seen) / (self.seen - 1)


def squared_norm(means: Float64) -> tuple[float, Float64]:
    """An unbiased estimate of ‖E v‖² from G independent means (G, P), and its leave-one-outs (G,).

    1/(G(G−1)) Σ_{i≠j} ⟨v_i, v_j⟩: a mean's product with itself, which contains its noise, is left
    out.
    """
    gram = np.einsum("ip,jp->ij", means, means)  # small: threads of a BLAS would only wait
    G = len(gram)
    products = gram.sum() - np.trace(gram)
    without = products - 2 * (gram.sum(axis=1) - np.diag(gram))
    return float(products / (G * (G - 1))), without / ((G - 1) * (G - 2))


def jackknife(leave_one_out: Float64) -> float:
    """The jackknife standard error of an estimate, from its G leave-one-out values.

    For a squared norm whose true value is 0 it is slightly too large, so that noise is not
    mistaken for bias.
    """
    return math.sqrt((len(leave_one_out) - 1) * float(leave_one_out.var()))


def bias_and_variance(draws: Draws, reference: Draws, where: slice = slice(None)) -> BiasVariance:
    """Bias and variance of the elements ``where``, relative to the true gradient's squared norm.

    The true gradient is the mean of ``reference``, which is independent of ``draws`` and has the
    same number of groups. All numbers are NaN if that mean cannot be told from zero.
    """
    means, true = draws.means[:, where], reference.means[:, where]
    scale, scales = squared_norm(true)
    if scale <= 2 * jackknife(scales):  # else every one of the scales is positive, too
        return BiasVariance(math.nan, math.nan, math.nan, math.nan)
    square, squares = squared_norm(means - true)
    variance = float(draws.variances[where].sum())
    return BiasVariance(
        variance / scale, square / scale, jackknife(squares / scales), jackknife(squares) / scale
    )


def layers_of(layout: Layout) -> dict[str, slice]:
    """The stretch of the flat buffer that holds each layer's parameters, by the layer's name."""
    found: dict[str, slice] = {}
    for name, offset in layout.offsets.items():
        layer = name.rpartition(".")[0]
        start = found[layer].start if layer in found else offset
        found[layer] = slice(start, offset + math.prod(layout.shapes[name]))
    return found


def draw_gradients(model: Model, images: Values, name: str, *, draws: int, stream: Stream) -> Draws:
    """Gradients of the mean objective over ``images`` (B, D), one per draw of the noise.

    ``name``: a key of ``ESTIMATORS``. Draw number i uses step i of ``stream``. Raises
    ``ConfigError`` for fewer draws than ``GROUPS``, ``DataError`` for images as in
    :class:`~scratchvae.models.Model`.
    """
    bk, vae = model.bk, model.vae.with_estimator(ESTIMATORS[name]())
    x, grads = grey_values(images, vae), FlatBuffer(bk, vae.layout)
    bound = vae.bind(Workspace(bk, len(x)), model.params, grads)
    bk.load(x, bound.x)
    scratch = bk.noise_scratch(bound.eps.size)
    found = Draws(vae.layout.padded_size, draws)
    with bk.limit_blas(1), bk.ignore_float_errors():
        for number in range(draws):
            bk.normal(bound.eps, stream._replace(step=number), scratch)
            bound.loss_and_gradient(1.0 / len(x))
            found.add(bk.to_host(grads.flat))
    return found


def gradient_noise(
    model: Model,
    images: Values,
    *,
    draws: int,
    seed: int = 0,
    moment: str = "",
    reference_factor: int = 4,
    names: Sequence[str] = tuple(ESTIMATORS),
) -> Mapping[str, Mapping[str, BiasVariance]]:
    """Bias and variance of every estimator's gradient, by estimator and layer.

    The gradient is that of the mean objective over ``images`` (B, D). The true one is estimated
    by the mean of ``reference_factor`` · ``draws`` draws of the reparameterized gradient of the
    same bound, the estimator's ``reference`` (E46, E51). Each estimator has noise of its own, from
    a stream named after it, the ``moment`` of training and the seed.

    Raises ``ConfigError`` for unknown estimators and for fewer draws than ``GROUPS``.
    """

    def drawn(name: str, what: str, count: int) -> Draws:
        text = f"gradient noise, {what}, {moment}"
        stream = Stream.named(seed, Purpose.TEST_LATENT, text)
        return draw_gradients(model, images, name, draws=count, stream=stream)

    unknown = set(names) - set(ESTIMATORS)
    if unknown:
        raise ConfigError(f"unknown estimators: {', '.join(sorted(unknown))}")
    references = {
        name: drawn(name, f"reference {name}", reference_factor * draws)
        for name in dict.fromkeys(ESTIMATORS[name].reference for name in names)
    }
    layers = layers_of(model.vae.layout)
    found: dict[str, dict[str, BiasVariance]] = {}
    for name in names:
        own, reference = drawn(name, name, draws), references[ESTIMATORS[name].reference]
        found[name] = {
            layer: bias_and_variance(own, reference, where) for layer, where in layers.items()
        }
    return found
