"""Free bits: Kingma et al. 2016, appendix C.8."""

import math
from types import SimpleNamespace
from typing import Any

from scratchvae.backend import HostArray, Number
from scratchvae.errors import ConfigError
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators.analytic import AnalyticKL
from scratchvae.latent.kl import kl_chain, kl_per_unit
from scratchvae.latent.reparameterize import reparameterize_chain
from scratchvae.memory import Tape


class FreeBits(AnalyticKL):
    """E2 in which the first λ nats of every latent unit cost nothing more than λ.

    A unit counts as Σ_j max(λ, mean of KL_j over the batch): below λ it has no reason to shrink
    to the prior. kl (B, Z) stays the KL itself. The mean is over the batch, so that a batch can't
    be split among workers.
    """

    name = "analytic"
    sums_terms = False
    whole_batch = True

    def __init__(self, nats: float) -> None:
        if not (math.isfinite(nats) and nats >= 0):
            raise ConfigError(f"free bits are a number of nats, not negative: {nats}")
        self.nats = float(nats)
        self.words = f"ELBO with the analytic KL and {self.nats:g} free nats a unit"

    def __repr__(self) -> str:
        return f"FreeBits({self.nats:g})"

    def work(self, tape: Tape, samples: int, latent: int) -> Any:
        """The mean KL of a unit, 1 where it exceeds λ, and the weight that follows: (Z,) each."""
        names = ("kl_mean", "pays", "kl_weight")
        return SimpleNamespace(**{name: tape.shared(f"latent.{name}", latent) for name in names})

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k nll + β Σ_j (KL_j where its mean exceeds λ, else λ)  (E55).

        Averaged over the batch this is 1/K Σ_k nll + β Σ_j max(λ, mean KL_j).
        """
        bk, xp, mean, pays = n.bk, n.bk.xp, n.work.kl_mean, n.work.pays
        kl_per_unit(bk, n.head, n.std, n.kl, n.kl_tmp)
        bk.sum_rows(n.kl, mean)
        mean *= 1.0 / n.kl.shape[0]
        xp.greater(mean.real, self.nats, out=pays)
        xp.multiply(n.kl, pays, out=n.kl_tmp)
        xp.subtract(1.0, pays, out=mean)
        mean *= self.nats
        n.kl_tmp += mean
        xp.sum(n.nll, axis=1, out=n.objective)
        n.objective *= 1.0 / n.samples
        xp.sum(n.kl_tmp, axis=1, out=n.row_tmp)
        n.row_tmp *= n.times(beta, 1.0)
        n.objective += n.row_tmp

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """As E17, where the unit's mean KL exceeds λ; nothing elsewhere  (E55)."""
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)
        n.bk.xp.multiply(n.work.pays, n.times(beta, weight), out=n.work.kl_weight)
        kl_chain(n.bk, n.head, n.std, n.work.kl_weight, n.dhead, n.kl_tmp)

    def total(self, nll: HostArray, kl: HostArray, objective: HostArray, beta: float) -> float:
        """The mean over all images as one batch."""
        units = kl.mean(axis=0, dtype="float64").clip(min=self.nats)
        return float(nll.mean(dtype="float64")) + beta * float(units.sum())
