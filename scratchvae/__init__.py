"""Variational autoencoders with every gradient written by hand, on NumPy and CuPy.

The names below are loaded when they are first used: importing the package costs hardly more than
importing NumPy, and loads neither SciPy, CuPy, matplotlib, scikit-learn nor pooch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from scratchvae.backend import get_backend
    from scratchvae.config import TrainConfig
    from scratchvae.data import Dataset, load_dataset
    from scratchvae.evaluation import evaluate
    from scratchvae.models import VAE, Model
    from scratchvae.runs.folder import load
    from scratchvae.training import train

_HOME = {
    "VAE": "scratchvae.models",
    "Dataset": "scratchvae.data",
    "Model": "scratchvae.models",
    "TrainConfig": "scratchvae.config",
    "evaluate": "scratchvae.evaluation",
    "get_backend": "scratchvae.backend",
    "load": "scratchvae.runs.folder",
    "load_dataset": "scratchvae.data",
    "train": "scratchvae.training",
}

__all__ = [
    "VAE",
    "Dataset",
    "Model",
    "TrainConfig",
    "evaluate",
    "get_backend",
    "load",
    "load_dataset",
    "train",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'scratchvae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
