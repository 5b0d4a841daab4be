"""Estimators without reparameterization: z as a constant, and the score function."""

from types import SimpleNamespace
from typing import Any

from scratchvae.backend import Number
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators import Estimator, sample_cost, sampled_kl, sum_terms
from scratchvae.latent.gaussian import score_chain
from scratchvae.memory import Tape


class Detached(Estimator):
    """E45's value, with z a constant for the encoder.

    Automatic differentiation does this where z comes from a sampler that has no derivative. The
    decoder learns; the encoder receives the gradient of log q(z|x) at fixed z alone, which
    doesn't depend on the image's likelihood and has the mean zero: it can't learn.
    """

    name = "detached"
    words = "ELBO with a Monte-Carlo KL, no gradient through z"
    differentiates = False

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k (nll + β (log q − log p))  (E45)."""
        sampled_kl(n)
        sum_terms(n, beta)

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """The gradient of β/K Σ_k log q(z_k|x) at fixed z and of nothing else  (E47)."""
        score_chain(n.bk, n.std, n.eps, n.times(beta, weight / n.samples), n.dhead, n.tmp)


class ScoreFunction(Estimator):
    """The encoder's gradient from values alone: how much each sample cost, times its score.

    It needs no derivative of the likelihood by z, and pays with variance. Williams 1992;
    Ranganath et al. 2014. The decoder's gradient is the usual one. The term ∇ log q that comes
    from the cost itself has mean zero and is left out.
    """

    name = "score"
    words = "ELBO with a Monte-Carlo KL, score-function gradient"
    differentiates = False

    def work(self, tape: Tape, samples: int, latent: int) -> Any:
        """cost and tmp (B, K)."""
        return SimpleNamespace(
            cost=tape.buffer("latent.cost", per=samples).reshape(-1, samples),
            tmp=tape.buffer("latent.cost_tmp", per=samples).reshape(-1, samples),
        )

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k cost_k with cost = nll + β (log q − log p)  (E45)."""
        sampled_kl(n)
        sample_cost(n, beta, n.work.cost, n.work.tmp)
        sum_terms(n, beta)

    def advantage(self, n: LatentNode) -> None:
        """What multiplies the score: the cost itself."""

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """dhead = weight/K Σ_k cost_k · ∇ log q(z_k|x)  (E48)."""
        self.advantage(n)
        n.work.cost *= weight / n.samples
        score_chain(n.bk, n.std, n.eps, n.work.cost[:, :, None], n.dhead, n.tmp)


class ScoreFunctionBaseline(ScoreFunction):
    """The same, less a control variate: the mean cost of the image's other samples.

    It is independent of the sample whose score it multiplies, so nothing is biased, and no
    running mean has to be kept from step to step. Mnih and Rezende 2016.
    """

    name = "score-baseline"
    words = "ELBO with a Monte-Carlo KL, score-function gradient with a leave-one-out baseline"
    least_samples = 2

    def advantage(self, n: LatentNode) -> None:
        """cost_k − 1/(K−1) Σ_{l≠k} cost_l = K/(K−1) (cost_k − mean cost)  (E49)."""
        cost, mean = n.work.cost, n.row_tmp
        n.bk.xp.sum(cost, axis=1, out=mean)
        mean *= 1.0 / n.samples
        cost -= mean[:, None]
        cost *= n.samples / (n.samples - 1)
