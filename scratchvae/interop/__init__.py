"""Weights to and from other libraries: safetensors files with PyTorch's names and shapes.

Importing this package loads NumPy; the safetensors library is loaded with the first file.
"""

from scratchvae.interop.pytorch import Place, modules, places
from scratchvae.interop.weights import read_model, read_weights, write_weights

__all__ = ["Place", "modules", "places", "read_model", "read_weights", "write_weights"]
