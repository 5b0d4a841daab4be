"""Independent categorical pixels: a probability for every grey level, parameterized by logits."""

import math

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError
from scratchvae.likelihoods.base import Likelihood, LikelihoodSettings
from scratchvae.memory import Views, Workspace


class Categorical(Likelihood):
    """Pixel d has level l, the grey value l / (L − 1), with probability softmax(a_d)_l.

    The decoder gives L logits per pixel, (B, K, L · D), level by level: the logits of level 0 for
    all pixels come first. Sums over levels then run along rows of pixels, in less than half the
    time of the other order. Grey values are rounded to the nearest level, exactly for those that
    are levels.
    """

    unit_interval = True
    settings = ("max_level",)

    def __init__(self, n_levels: int) -> None:
        """``n_levels``: L, the number of levels, black included; ``ConfigError`` below 2."""
        if n_levels < 2:
            raise ConfigError(f"a categorical pixel has at least two levels, not {n_levels}")
        self.n_levels = self.logits_per_pixel = n_levels

    @classmethod
    def from_settings(cls, settings: LikelihoodSettings) -> "Categorical":
        if settings.max_level == 0:
            raise ConfigError(
                "the levels of a categorical likelihood are those of the data: "
                "set max_level to 16 for the digits, to 255 for MNIST, to 1 for binary pixels"
            )
        return cls(settings.max_level + 1)

    def __repr__(self) -> str:
        return f"Categorical({self.n_levels})"

    def work(self, workspace: Workspace, pixels: int, samples: int) -> Views:
        L, D, K = self.n_levels, pixels, samples

        def per_sample(name: str, *shape: int) -> Array:
            numbers = workspace.buffer(f"likelihood.{name}", math.prod(shape), per=K)
            return numbers.reshape(-1, K, *shape)

        levels = workspace.shared("likelihood.levels", L, 1)
        levels[...] = workspace.bk.array(range(L)).reshape(L, 1)
        return Views(
            levels=levels,
            level=workspace.buffer("likelihood.level", D).reshape(-1, 1, D),
            one_hot=workspace.buffer("likelihood.one_hot", L * D).reshape(-1, 1, L, D),
            shifted=per_sample("shifted", L, D),
            tmp=per_sample("tmp", L, D),
            largest=per_sample("largest", D),
            picked=per_sample("picked", D),
            total=per_sample("total", D),
            terms=per_sample("terms", D),
        )

    def pixel_nll(
        self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views
    ) -> None:
        """−log p(x_d|z) = log Σ_l e^(a_l − m) − (a_x − m) with m = max_l a_l  (E56).

        Leaves e^(a − m), its sum over the levels and the one-hot x in the work buffers.
        """
        w = work
        bk.xp.multiply(x, self.n_levels - 1.0, out=w.level)
        bk.xp.rint(w.level, out=w.level)
        bk.xp.equal(w.level[:, :, None, :], w.levels, out=w.one_hot)
        a = self._by_level(logits)
        bk.xp.max(a, axis=2, out=w.largest)
        bk.xp.subtract(a, w.largest[:, :, None, :], out=w.shifted)
        bk.xp.multiply(w.shifted, w.one_hot, out=w.tmp)
        bk.xp.sum(w.tmp, axis=2, out=w.picked)  # a_x − m: all other terms are zero
        bk.xp.exp(w.shifted, out=w.shifted)
        bk.xp.sum(w.shifted, axis=2, out=w.total)
        bk.xp.log(w.total, out=out)
        out -= w.picked

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
        """da_l = softmax(a)_l, minus 1 where l is the pixel's level  (E57)."""
        self.nll(bk, p, logits, x, nll, work)
        da = self._by_level(dlogits)
        bk.xp.divide(work.shifted, work.total[:, :, None, :], out=da)
        da -= work.one_hot

    def mean(self, bk: Backend, logits: Array, out: Array) -> None:
        """E[x|z] = Σ_l softmax(a)_l · l / (L − 1)  (E58)."""
        weights = self._unnormalized_probs(bk, logits)
        grey = bk.array([[level / (self.n_levels - 1)] for level in range(self.n_levels)])
        bk.xp.divide(bk.xp.sum(weights * grey, axis=2), bk.xp.sum(weights, axis=2), out=out)

    def sample(self, bk: Backend, p: Views, logits: Array, noise: Array, out: Array) -> None:
        """The lowest level whose cumulative probability exceeds u ~ U[0, 1), as grey value  (E58).

        One uniform per pixel: the level is the number of cumulative sums that are at most u.
        """
        sums = bk.xp.cumsum(self._unnormalized_probs(bk, logits), axis=2)
        passed = sums[:, :, :-1] <= sums[:, :, -1:] * noise[:, :, None, :]
        bk.xp.sum(passed, axis=2, out=out)
        out /= self.n_levels - 1.0

    def describe(self) -> str:
        return f"categorical over {self.n_levels} levels"

    def _unnormalized_probs(self, bk: Backend, logits: Array) -> Array:
        """e^(a − max a), (B, K, L, D): the probabilities of the levels up to a factor per pixel."""
        a = self._by_level(logits)
        return bk.xp.exp(a - bk.xp.max(a, axis=2, keepdims=True))

    def _by_level(self, logits: Array) -> Array:
        """(B, K, L · D) as (B, K, L, D)."""
        return logits.reshape(*logits.shape[:2], self.n_levels, -1)
