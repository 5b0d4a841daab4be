"""Models composed by hand from layers, the latent node and a likelihood."""

from scratchvae.models.condition import Condition, Label, Quadrants
from scratchvae.models.conditional import ConditionalVAE
from scratchvae.models.model import Loss, Model, Terms
from scratchvae.models.posterior import BoundPosterior
from scratchvae.models.vae import VAE, BoundVAE

__all__ = [
    "VAE",
    "BoundPosterior",
    "BoundVAE",
    "Condition",
    "ConditionalVAE",
    "Label",
    "Loss",
    "Model",
    "Quadrants",
    "Terms",
]
