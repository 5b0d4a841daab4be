"""Independent Bernoulli pixels, parameterized by logits.

What is marked ``fusible`` a backend may compute in a faster form; a test holds the two equal.
"""

from scratchvae.backend import Array, Backend, fusible
from scratchvae.layers import sigmoid
from scratchvae.likelihoods.base import Likelihood
from scratchvae.memory import Views


@fusible("bernoulli nll terms")
def bernoulli_nll_terms(bk: Backend, a: Array, x: Array, out: Array, tmp: Array) -> None:
    """out = log(1 + eᵃ) − x a, stable for every a  (E18). ``x`` broadcasts against ``a``.

    log(1 + eᵃ) = max(a, 0) + log(1 + e^−|a|). One condition decides both branches: with two of
    them a complex step at a = 0 would give −½ where the derivative is ½.
    """
    xp = bk.xp
    negative = a.real <= 0
    softplus = xp.where(negative, 0, a) + xp.log1p(xp.exp(xp.where(negative, a, -a)))
    out[...] = softplus - x * a


@fusible("bernoulli nll")
def bernoulli_nll(bk: Backend, a: Array, x: Array, nll: Array, tmp: Array, tmp2: Array) -> None:
    """nll = Σ_d log(1 + eᵃ) − x a over the last axis  (E18): (..., D) -> (...)."""
    bernoulli_nll_terms(bk, a, x, tmp, tmp2)
    nll[...] = bk.xp.sum(tmp, axis=-1)


@fusible("bernoulli nll and grad")
def bernoulli_nll_and_grad(
    bk: Backend, a: Array, x: Array, nll: Array, da: Array, tmp: Array, tmp2: Array
) -> None:
    """The value of :func:`bernoulli_nll`, and da = sigmoid(a) − x, in one pass  (E18, E19).

    ``a``, ``da``, ``tmp`` and ``tmp2``: (..., D); ``x`` broadcasts against them.
    """
    bernoulli_nll(bk, a, x, nll, tmp, tmp2)
    da[...] = 0.5 * bk.xp.tanh(0.5 * a) + 0.5 - x


class Bernoulli(Likelihood):
    """x_d ~ Bernoulli(sigmoid(a_d)).

    A probability only for binary pixels. For other values in [0, 1] it is the customary
    cross-entropy, which is not a normalized density; printed results say so.
    """

    unit_interval = True
    binary = True

    def pixel_nll(
        self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views
    ) -> None:
        """−log p(x_d|z) = log(1 + e^a_d) − x_d a_d  (E18), stable for every logit a."""
        bk.compute(bernoulli_nll_terms, logits, x, out, work.tmp)

    def nll(self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views) -> None:
        """−log p(x|z) = Σ_d of :meth:`pixel_nll`  (E18)."""
        bk.compute(bernoulli_nll, logits, x, out, work.tmp, work.terms)

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
        """da = sigmoid(a) − x  (E19), in one pass with the value (E18)."""
        bk.compute(bernoulli_nll_and_grad, logits, x, nll, dlogits, work.tmp, work.terms)

    def mean(self, bk: Backend, logits: Array, out: Array) -> None:
        """E[x|z] = sigmoid(a)  (E20)."""
        sigmoid(bk, logits, out)

    def logits(self, bk: Backend, mean: Array, out: Array) -> None:
        """a = log m / (1 − m), with the mean m clipped to [0.001, 0.999]."""
        self.inverse_sigmoid(bk, mean, out)

    def sample(self, bk: Backend, p: Views, logits: Array, noise: Array, out: Array) -> None:
        """x = 1 where u < E[x|z], else 0, with u ~ U[0, 1)  (E20)."""
        self.mean(bk, logits, logits)
        bk.xp.less(noise, logits, out=out)

    def describe(self) -> str:
        return "Bernoulli"
