"""Functions of arrays on a device: CuPy's on a GPU."""

import numpy as np

from scratchvae.backend import Backend, get_backend
from scratchvae.gradcheck.adapters import Adapted, names_of
from scratchvae.gradcheck.trees import leaves, rebuilt
from scratchvae.types import Function


def on_device(f: Function, vjp: Function, bk: Backend | None = None) -> Adapted:
    """``f`` and ``vjp`` of CuPy arrays, checked with NumPy ones: copied there and back.

    ``bk``: another backend than "cuda". Complex numbers are handed through as they are, so that a
    function without a complex form falls back on differences.
    """
    there = get_backend("cuda", "float64") if bk is None else bk

    def up(value: object) -> object:
        new = {
            place: _copied(there, leaf)
            for place, leaf in leaves(value)
            if isinstance(leaf, np.ndarray | np.generic)
        }
        return rebuilt(value, new)

    def down(value: object) -> object:
        if value is None or isinstance(value, float | int):
            return value
        new = {place: _on_host(there, leaf) for place, leaf in leaves(value)}
        return rebuilt(value, new)

    def on_arrays(*arguments: object, **constants: object) -> object:
        return down(f(*(up(a) for a in arguments), **constants))

    def vjp_on_arrays(*arguments: object, **constants: object) -> object:
        return down(vjp(*(up(a) for a in arguments), **constants))

    name = getattr(f, "__name__", type(f).__name__)
    return Adapted(on_arrays, vjp_on_arrays, name, names=names_of(f))


def _copied(bk: Backend, a: object) -> object:
    bare = np.asarray(a).view(np.ndarray)
    out = bk.empty(bare.shape, bare.dtype)
    bk.load(bare, out)
    return out


def _on_host(bk: Backend, leaf: object) -> object:
    return leaf if leaf is None or isinstance(leaf, float | int) else bk.to_host(leaf)
