"""Independent Bernoulli pixels, parameterized by logits."""

from scratchvae.backend import Array, Backend, Weight
from scratchvae.layers import sigmoid
from scratchvae.likelihoods.base import Likelihood
from scratchvae.memory import Views


class Bernoulli(Likelihood):
    """x_d ~ Bernoulli(sigmoid(logit_d)).

    A density only for binary pixels. On grey ones it is the customary cross-entropy, which no
    distribution over grey values normalizes, and results printed from it say so.
    """

    unit_interval = True

    def pixel_nll(
        self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views
    ) -> None:
        """−log p(x_d|z) = log(1 + e^a_d) − x_d a_d  (E18), stable for every logit a."""
        bk.bernoulli_nll_terms(logits, x, out, work.tmp)

    def nll_and_grad(
        self,
        bk: Backend,
        p: Views,
        logits: Array,
        x: Array,
        weight: Weight,
        nll: Array,
        dlogits: Array,
        g: Views,
        work: Views,
    ) -> None:
        """da = weight · (sigmoid(a) − x)  (E19), in one pass with the value (E18)."""
        bk.bernoulli(logits, x, weight, nll, dlogits, work.tmp)

    def mean(self, bk: Backend, logits: Array, out: Array) -> None:
        """E[x|z] = sigmoid(a)  (E20)."""
        sigmoid(bk, logits, out)

    def sample(self, bk: Backend, p: Views, logits: Array, noise: Array, out: Array) -> None:
        """x = 1 where u < E[x|z], else 0, with u ~ U[0, 1)  (E20)."""
        self.mean(bk, logits, logits)
        bk.xp.less(noise, logits, out=out)

    def describe(self) -> str:
        return "Bernoulli"
