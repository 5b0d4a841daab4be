"""Variational autoencoders with every gradient written by hand, on NumPy and CuPy."""

__version__ = "0.1.0"
