"""Between encoder and decoder: the reparameterization and the divergence from the prior."""

from scratchvae.latent.kl import kl_chain, kl_per_unit
from scratchvae.latent.logstd import LogStdHead
from scratchvae.latent.reparameterize import (
    reparameterize,
    reparameterize_chain,
    standard_deviation,
)

__all__ = [
    "LogStdHead",
    "kl_chain",
    "kl_per_unit",
    "reparameterize",
    "reparameterize_chain",
    "standard_deviation",
]
