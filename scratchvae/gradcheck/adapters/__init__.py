"""Other people's ways to write a gradient, as a function and its vjp for ``assert_gradient``.

Each adapter takes what its framework has and returns an :class:`Adapted`:
``assert_gradient(residuals(fwd, bwd), x)``. A framework is needed only where its own objects are.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchvae.gradcheck.adapters.adapted import Adapted
    from scratchvae.gradcheck.adapters.course import course
    from scratchvae.gradcheck.adapters.device import on_device
    from scratchvae.gradcheck.adapters.linear_operator import linear_operator
    from scratchvae.gradcheck.adapters.residuals import residuals
    from scratchvae.gradcheck.adapters.scipy import optimizer
    from scratchvae.gradcheck.adapters.torch_function import torch_function

_HOME = {"Adapted": "adapted", "on_device": "device", "optimizer": "scipy"}

__all__ = [
    "Adapted",
    "course",
    "linear_operator",
    "on_device",
    "optimizer",
    "residuals",
    "torch_function",
]


def __getattr__(name: str) -> object:
    """An adapter has the name of its module; importing the module would hide the function."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOME.get(name, name)}"), name)
    globals()[name] = found
    return found
