"""Models composed by hand from layers, the latent node and a likelihood."""

from scratchvae.models.condition import Condition, Label, Quadrants, SomeLabels
from scratchvae.models.conditional import ConditionalVAE
from scratchvae.models.model import Loss, Model, Terms
from scratchvae.models.posterior import BoundPosterior
from scratchvae.models.semi_supervised import M2
from scratchvae.models.two_layers import SecondLayer, TwoLayerVAE
from scratchvae.models.vae import VAE, BoundVAE

__all__ = [
    "M2",
    "VAE",
    "BoundPosterior",
    "BoundVAE",
    "Condition",
    "ConditionalVAE",
    "Label",
    "Loss",
    "Model",
    "Quadrants",
    "SecondLayer",
    "SomeLabels",
    "Terms",
    "TwoLayerVAE",
]
