"""Optimizers on the flat buffers."""

from scratchvae.optim.adam import Adam, BoundAdam

OPTIMIZERS = {"adam": Adam}

__all__ = ["OPTIMIZERS", "Adam", "BoundAdam"]
