"""Estimators without reparameterization: z as a constant, and the score function."""

from scratchvae.backend import Number
from scratchvae.latent.buffers import LatentBuffers
from scratchvae.latent.estimators import Estimator, sample_cost, sampled_kl, sum_terms
from scratchvae.latent.gaussian import score_grad
from scratchvae.memory import Views, Workspace


class Detached(Estimator):
    """E45's value, with z a constant for the encoder.

    Automatic differentiation does this if z comes from a sampler without a derivative. The decoder
    learns; the encoder receives only the gradient of log q(z|x) at fixed z, which does not depend
    on the image's likelihood and has mean zero: it cannot learn.
    """

    name = "detached"
    label = "ELBO with a Monte-Carlo KL, no gradient through z"
    kl_labels = ("E45",)
    gradient_matches_value = False

    def value(self, latent: LatentBuffers, beta: Number) -> None:
        """objective = 1/K Σ_k (nll + β (log q − log p))  (E45)."""
        sampled_kl(latent)
        sum_terms(latent, beta)

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """dhead: the gradient of β/K Σ_k log q(z_k|x) at fixed z, and nothing else  (E47)."""
        score_grad(
            latent.bk,
            latent.std,
            latent.eps,
            latent.times(beta, weight / latent.samples),
            latent.dhead,
            latent.tmp,
        )


class ScoreFunction(Estimator):
    """The encoder's gradient from values alone: the cost of each sample times its score.

    It needs no derivative of the likelihood with respect to z, at the price of variance:
    Williams 1992; Ranganath et al. 2014. The decoder's gradient is the usual one. The term ∇ log q
    that comes from the cost itself has mean zero and is left out.
    """

    name = "score"
    label = "ELBO with a Monte-Carlo KL, score-function gradient"
    kl_labels = ("E45",)
    value_writes = ("cost",)
    gradient_matches_value = False

    def work(self, workspace: Workspace, samples: int, latent: int) -> Views:
        """cost and tmp (B, K)."""
        return Views(
            cost=workspace.buffer("latent.cost", per=samples).reshape(-1, samples),
            tmp=workspace.buffer("latent.cost_tmp", per=samples).reshape(-1, samples),
        )

    def value(self, latent: LatentBuffers, beta: Number) -> None:
        """objective = 1/K Σ_k cost_k with cost = nll + β (log q − log p)  (E45)."""
        sampled_kl(latent)
        sample_cost(latent, beta, latent.work.cost, latent.work.tmp)
        sum_terms(latent, beta)

    def advantage(self, latent: LatentBuffers) -> None:
        """Turn work.cost (B, K) into the factor of the score; here it is the cost itself."""

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """dhead = weight/K Σ_k cost_k · ∇ log q(z_k|x)  (E48)."""
        self.advantage(latent)
        latent.work.cost *= weight / latent.samples
        score_grad(
            latent.bk,
            latent.std,
            latent.eps,
            latent.work.cost[:, :, None],
            latent.dhead,
            latent.tmp,
        )


class ScoreFunctionBaseline(ScoreFunction):
    """The score function with a control variate: the mean cost of the image's other samples.

    It is independent of the sample whose score it multiplies, so it adds no bias, and no running
    mean has to be kept from step to step: Mnih and Rezende 2016.
    """

    name = "score-baseline"
    label = "ELBO with a Monte-Carlo KL, score-function gradient with a leave-one-out baseline"
    min_samples = 2

    def advantage(self, latent: LatentBuffers) -> None:
        """cost_k − 1/(K−1) Σ_{l≠k} cost_l = K/(K−1) (cost_k − mean cost)  (E49)."""
        cost, mean = latent.work.cost, latent.row_tmp
        latent.bk.xp.sum(cost, axis=1, out=mean)
        mean *= 1.0 / latent.samples
        cost -= mean[:, None]
        cost *= latent.samples / (latent.samples - 1)
