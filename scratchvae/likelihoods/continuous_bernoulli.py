"""Grey pixels in [0, 1] with the density that the Bernoulli's cross-entropy lacks."""

from collections.abc import Sequence

from scratchvae.backend import Array, Backend
from scratchvae.likelihoods.base import Likelihood
from scratchvae.memory import Views, Workspace

SERIES_BELOW = 0.5  # of |a|; there the closed forms lose their digits, and at 0 they are 0/0
# log (e^a − 1)/a = ½ a + Σ_j C_j a^2j / 2j, and its derivative is ½ + Σ_j C_j a^(2j − 1), where
# C_j = B_2j / (2j)! with the Bernoulli numbers B. What follows the last is below 1e-17.
SERIES = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
)  # fmt: skip
INTEGRATED = tuple(c / (2 * j) for j, c in enumerate(SERIES, 1))
LARGEST_LOGIT = 2000.0  # of a mean within [0.001, 0.999]: they lie within ±1000
HALVINGS = 64


class ContinuousBernoulli(Likelihood):
    """x_d in [0, 1] with the density a e^(a x) / (e^a − 1), a the decoder's output.

    That is E18 normalized over grey values: Loaiza-Ganem and Cunningham 2019. The density of a
    pixel that is always black has no upper bound, so −log p(x) may be negative.
    """

    unit_interval = True

    def work(self, workspace: Workspace, pixels: int, samples: int) -> Views:
        work = super().work(workspace, pixels, samples)
        for name in ("n", "outside", "inside", "square"):
            buffer = workspace.buffer(f"likelihood.{name}", pixels, per=samples)
            setattr(work, name, buffer.reshape(-1, samples, pixels))
        return work

    def pixel_nll(
        self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views
    ) -> None:
        """−log p(x_d|z) = log (e^a − 1)/a − x_d a  (E200).

        For |a| of more than ½ the first term is log (e^n − 1)/n + max(a, 0) with n = −|a|, so that
        nothing overflows, and else a series, so that a complex step finds its slope.
        """
        w, n, tmp = work, work.n, work.tmp
        split(bk, logits, w)
        bk.xp.expm1(n, out=out)
        out /= n
        bk.xp.log(out, out=out)
        out *= w.outside
        n *= w.outside
        bk.xp.subtract(logits, n, out=n)
        n *= 0.5  # max(a, 0), or ½ a inside
        bk.xp.multiply(logits, x, out=tmp)
        n -= tmp
        out += n
        _polynomial(INTEGRATED, w.square, tmp)
        tmp *= w.square
        out += tmp

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
        """da = E[x_d|z] − x_d  (E201)."""
        self.nll(bk, p, logits, x, nll, work)
        self.write_mean(bk, logits, dlogits, work)
        dlogits -= x

    def mean(self, bk: Backend, logits: Array, out: Array) -> None:
        """E[x|z] = 1 / (1 − e^−a) − 1/a  (E201)."""
        names = ("n", "outside", "inside", "square", "tmp")
        work = Views(**{name: bk.empty(logits.shape) for name in names})
        mean = bk.empty(logits.shape)
        self.write_mean(bk, logits, mean, work)
        out[...] = mean

    def write_mean(self, bk: Backend, a: Array, out: Array, work: Views) -> None:
        """out = E[x|z], from two forms of E[x|z] − ½, each of them 0 where the other holds  (E201).

        For |a| of more than ½ it is −sign(a) (e^n/(e^n − 1) − 1/n − ½) with n = −|a|.
        """
        w, n, tmp = work, work.n, work.tmp
        split(bk, a, w)
        bk.xp.exp(n, out=out)
        bk.xp.expm1(n, out=tmp)
        out /= tmp
        bk.xp.divide(1.0, n, out=tmp)
        out -= tmp
        out -= 0.5
        bk.xp.sign(a.real, out=tmp)
        out *= tmp
        out *= w.outside
        _polynomial(SERIES, w.square, tmp)
        tmp *= w.inside
        bk.xp.subtract(tmp, out, out=out)
        out += 0.5

    def logits(self, bk: Backend, mean: Array, out: Array) -> None:
        """a with E[x|z] = m, by halving an interval; m is clipped to [0.001, 0.999]."""
        m = bk.xp.clip(mean, 0.001, 0.999)
        found = bk.empty(mean.shape)
        low = bk.xp.full_like(m, -LARGEST_LOGIT)
        high = -low
        for _ in range(HALVINGS):
            middle = (low + high) * 0.5
            self.mean(bk, middle, found)
            low = bk.xp.where(found < m, middle, low)
            high = bk.xp.where(found < m, high, middle)
        out[...] = (low + high) * 0.5

    def sample(self, bk: Backend, p: Views, logits: Array, noise: Array, out: Array) -> None:
        """The inverse of the distribution function at u ~ U[0, 1)  (E202).

        x = log(1 + u (e^n − 1)) / n for n = −|a|; for a > 0 it is 1 − x at 1 − u.
        """
        xp = bk.xp
        n = xp.minimum(xp.minimum(logits, -logits), -1e-30)
        mirrored = logits > 0
        u = xp.where(mirrored, 1.0 - noise, noise)
        with bk.ignore_float_errors():  # at u = 1 the logarithm may be −∞, and x is then 1
            x = xp.minimum(xp.log1p(u * xp.expm1(n)) / n, 1.0)
        out[...] = xp.where(mirrored, 1.0 - x, x)

    def describe(self) -> str:
        return "continuous Bernoulli"


def split(bk: Backend, a: Array, work: Views) -> None:
    """n = −|a|, but −½ at most; outside = 1 where |a| > ½, inside = a where not; 0 elsewhere.

    And square = inside². The real part decides, so that a complex step passes.
    """
    xp, n = bk.xp, work.n
    xp.negative(a, out=n)
    xp.minimum(a, n, out=n)
    xp.less(n.real, -SERIES_BELOW, out=work.outside)
    xp.minimum(n, -SERIES_BELOW, out=n)
    xp.subtract(1.0, work.outside, out=work.inside)
    work.inside *= a
    xp.multiply(work.inside, work.inside, out=work.square)


def _polynomial(coefficients: Sequence[float], x: Array, out: Array) -> None:
    """out = c₀ + c₁ x + c₂ x² + …, from the last to the first."""
    out.fill(coefficients[-1])
    for c in coefficients[-2::-1]:
        out *= x
        out += c
