"""Independent Gaussian pixels, with a standard deviation that is fixed or learned."""

import math
from collections.abc import Mapping

from scratchvae.backend import Array, Backend, Number, Weight
from scratchvae.errors import ConfigError
from scratchvae.layers import Constant, sigmoid
from scratchvae.layers.initializers import Initializer
from scratchvae.likelihoods.base import Likelihood, LikelihoodSettings
from scratchvae.memory import Shape, Views, Workspace

MEANS = ("sigmoid", "identity")
LARGEST_STD = 1e150  # whose square, and its inverse, are Python floats


class GaussianLikelihood(Likelihood):
    """x_d ~ N(m(a_d), σ_d²): what fixed and learned σ have in common.

    ``mean``: m, the "sigmoid", for pixels in [0, 1], or the "identity". The normalizing constant
    is included: values are log-densities.
    """

    noise = "normal"

    def __init__(self, mean: str = "sigmoid") -> None:
        if mean not in MEANS:
            raise ConfigError(f"a Gaussian's mean is one of {', '.join(MEANS)}, not {mean!r}")
        self.mean_map = mean

    def work(self, workspace: Workspace, pixels: int, samples: int) -> Views:
        work = super().work(workspace, pixels, samples)
        mean = workspace.buffer("likelihood.mean", pixels, per=samples)
        work.mean = mean.reshape(-1, samples, pixels)
        return work

    def precision(self, bk: Backend, p: Views, pixels: int, work: Views) -> tuple[Weight, Number]:
        """1/σ²: a number, (1,) or (D,); and Σ_d ½ log 2πσ_d²: a number or (1,)."""
        raise NotImplementedError

    def std(self, bk: Backend, p: Views) -> Weight:
        """σ: a number, (1,) or (D,)."""
        raise NotImplementedError

    def pixel_nll(
        self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views
    ) -> None:
        """−log p(x_d|z) = ½ ((x_d − m_d)²/σ_d² + log 2πσ_d²)  (E21)."""
        variance = self.std(bk, p) ** 2
        self.mean(bk, logits, out)
        out -= x
        out *= out
        out /= variance
        out += bk.xp.log(2 * math.pi * variance)
        out *= 0.5

    def nll(self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views) -> None:
        """−log p(x|z) = Σ_d ½ (x_d − m_d)²/σ_d² + ½ log 2πσ_d²  (E21)."""
        tmp, mean = work.tmp, work.mean
        precision, constant = self.precision(bk, p, x.shape[-1], work)
        self.mean(bk, logits, mean)
        mean -= x
        bk.xp.multiply(mean, precision, out=tmp)
        tmp *= mean
        bk.xp.sum(tmp, axis=-1, out=out)
        out *= 0.5
        out += constant

    def nll_and_grad(
        self,
        bk: Backend,
        p: Views,
        logits: Array,
        x: Array,
        nll: Array,
        dlogits: Array,
        work: Views,
    ) -> None:
        """da = (m − x)/σ² · m′(a)  (E22), with m′ = m (1 − m) for the sigmoid.

        Leaves (m − x)²/σ² in ``work.terms``.
        """
        tmp, mean, squares = work.tmp, work.mean, work.terms
        precision, constant = self.precision(bk, p, x.shape[-1], work)
        self.mean(bk, logits, mean)
        bk.xp.subtract(mean, x, out=tmp)
        bk.xp.multiply(tmp, precision, out=dlogits)  # (m − x)/σ²
        bk.xp.multiply(tmp, dlogits, out=squares)
        bk.xp.sum(squares, axis=-1, out=nll)
        nll *= 0.5
        nll += constant
        if self.mean_map == "sigmoid":
            bk.xp.subtract(1.0, mean, out=tmp)
            tmp *= mean
            dlogits *= tmp

    def mean(self, bk: Backend, logits: Array, out: Array) -> None:
        """E[x|z] = m(a): the sigmoid (E6) or the logits themselves."""
        if self.mean_map == "sigmoid":
            sigmoid(bk, logits, out)
        else:
            out[...] = logits

    def logits(self, bk: Backend, mean: Array, out: Array) -> None:
        """The logits of a mean: the inverse of the sigmoid, or the mean itself."""
        if self.mean_map == "sigmoid":
            self.inverse_sigmoid(bk, mean, out)
        else:
            out[...] = mean

    def sample(self, bk: Backend, p: Views, logits: Array, noise: Array, out: Array) -> None:
        """x = m + σ ε with ε ~ N(0, I)."""
        self.mean(bk, logits, logits)
        bk.xp.multiply(noise, self.std(bk, p), out=out)
        out += logits


class Gaussian(GaussianLikelihood):
    """Gaussian pixels with one fixed standard deviation ``std`` > 0; else ``ConfigError``."""

    settings = ("std", "mean")

    def __init__(self, std: float = 1.0, mean: str = "sigmoid") -> None:
        super().__init__(mean)
        if not (math.isfinite(std) and std > 0):
            raise ConfigError(f"a Gaussian's standard deviation is positive, not {std}")
        if not 1 / LARGEST_STD <= std <= LARGEST_STD:
            raise ConfigError(
                f"a Gaussian's variance has no room for a standard deviation of {std}"
            )
        self.fixed = float(std)

    @classmethod
    def from_settings(cls, settings: LikelihoodSettings) -> "Gaussian":
        return cls(settings.std, settings.mean)

    def __repr__(self) -> str:
        return f"Gaussian({self.fixed:g}, mean={self.mean_map!r})"

    def precision(self, bk: Backend, p: Views, pixels: int, work: Views) -> tuple[float, float]:
        variance = self.fixed**2
        return 1.0 / variance, 0.5 * pixels * math.log(2 * math.pi * variance)

    def std(self, bk: Backend, p: Views) -> float:
        return self.fixed

    def describe(self) -> str:
        return f"Gaussian with standard deviation {self.fixed:g} and {self.mean_map} mean"


class LearnedGaussian(GaussianLikelihood):
    """Gaussian pixels with a learned variance: one for the model, or one ``per_pixel``.

    σ² = s² + exp(logvar) with the floor s = ``min_std``, without which the density of a pixel that
    never changes is unbounded, and training would diverge. Parameter: logvar, (1,) or (D,), from
    σ = ``start_std``. Raises ``ConfigError`` for standard deviations out of range.
    """

    settings = ("start_std", "mean")

    def __init__(
        self,
        per_pixel: bool = False,
        min_std: float = 0.01,
        mean: str = "sigmoid",
        start_std: float = 1.0,
    ) -> None:
        super().__init__(mean)
        if not (math.isfinite(min_std) and min_std >= 0):
            raise ConfigError(f"the floor of a standard deviation is not negative: {min_std}")
        if min_std > LARGEST_STD:
            raise ConfigError(
                f"a Gaussian's variance has no room for a standard deviation of {min_std}"
            )
        if not 0 < start_std <= LARGEST_STD:
            raise ConfigError(f"a standard deviation starts at a positive number, not {start_std}")
        self.per_pixel = per_pixel
        self.min_std, self.start_std = float(min_std), float(start_std)

    @classmethod
    def from_settings(cls, settings: LikelihoodSettings) -> "LearnedGaussian":
        per_pixel = settings.name == "gaussian-per-pixel"
        return cls(per_pixel, mean=settings.mean, start_std=settings.start_std)

    def __repr__(self) -> str:
        return (
            f"LearnedGaussian(per_pixel={self.per_pixel}, min_std={self.min_std:g}, "
            f"mean={self.mean_map!r}, start_std={self.start_std:g})"
        )

    def parameters(self, pixels: int) -> Mapping[str, tuple[Shape, Initializer]]:
        """logvar, (1,) or (D,), with the initial value 2 log ``start_std``.

        It moves by about the learning rate per step, so a σ that starts far from the spread of the
        data takes thousands of steps to arrive.
        """
        start = Constant(2.0 * math.log(self.start_std))
        return {"logvar": ((pixels if self.per_pixel else 1,), start)}

    def work(self, workspace: Workspace, pixels: int, samples: int) -> Views:
        count = pixels if self.per_pixel else 1
        work = super().work(workspace, pixels, samples)
        work.exp_logvar = workspace.shared("likelihood.exp_logvar", count)
        work.precision = workspace.shared("likelihood.precision", count)
        work.log_variance = workspace.shared("likelihood.log_variance", count)
        work.constant = workspace.shared("likelihood.constant", 1)
        work.row_sum = workspace.shared("likelihood.row_sum", pixels)
        return work

    def precision(self, bk: Backend, p: Views, pixels: int, work: Views) -> tuple[Array, Array]:
        """From logvar: 1/σ² and Σ_d ½ log 2πσ_d²  (E21)."""
        bk.xp.exp(p.logvar, out=work.exp_logvar)
        bk.xp.add(work.exp_logvar, self.min_std**2, out=work.precision)  # σ²
        bk.xp.log(work.precision, out=work.log_variance)
        bk.xp.divide(1.0, work.precision, out=work.precision)
        bk.xp.sum(work.log_variance, axis=0, keepdims=True, out=work.constant)
        if not self.per_pixel:
            work.constant *= float(pixels)
        work.constant += pixels * math.log(2 * math.pi)
        work.constant *= 0.5
        return work.precision, work.constant

    def grad_params(self, bk: Backend, p: Views, weight: Weight, g: Views, work: Views) -> None:
        """d logvar = Σ weight · ½ (1 − r²/σ²) · exp(logvar)/σ²  (E23)."""
        excess = work.terms  # r²/σ², from nll_and_grad
        bk.xp.subtract(1.0, excess, out=excess)
        excess *= weight
        bk.sum_rows(excess.reshape(-1, excess.shape[-1]), work.row_sum)
        if self.per_pixel:
            g.logvar[...] = work.row_sum
        else:
            bk.xp.sum(work.row_sum, axis=0, keepdims=True, out=g.logvar)
        g.logvar *= 0.5
        g.logvar *= work.exp_logvar
        g.logvar *= work.precision

    def std(self, bk: Backend, p: Views) -> Array:
        return bk.xp.sqrt(bk.xp.exp(p.logvar) + self.min_std**2)

    def describe(self) -> str:
        each = "per pixel" if self.per_pixel else "for all pixels"
        return f"Gaussian with a learned variance {each} and {self.mean_map} mean"
