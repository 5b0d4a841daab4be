"""Other people's ways to write a gradient, as a function and its vjp for ``assert_gradient``.

Each adapter takes what its framework has and returns an :class:`Adapted`:
``assert_gradient(residuals(fwd, bwd), x)``. A framework is needed only where its own objects are.
"""

import inspect
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from scratchvae.types import Function

if TYPE_CHECKING:
    from scratchvae.gradcheck.adapters.course import course
    from scratchvae.gradcheck.adapters.device import on_device
    from scratchvae.gradcheck.adapters.residuals import residuals
    from scratchvae.gradcheck.adapters.scipy import linear_operator, optimizer
    from scratchvae.gradcheck.adapters.torch_function import torch_function

_HOME = {"on_device": "device", "optimizer": "scipy", "linear_operator": "scipy"}

__all__ = [
    "Adapted",
    "course",
    "linear_operator",
    "on_device",
    "optimizer",
    "residuals",
    "torch_function",
]


@dataclass(frozen=True)
class Adapted:
    """``f(*arguments, *more)`` and ``vjp(*arguments, *more, dy)``, for ``assert_gradient``.

    ``more``: arguments that the adapter has found itself, such as the parameters of a layer.
    ``names``: what the arguments are called, where that is known, those of ``more`` at the end.
    """

    f: Function
    vjp: Function
    name: str
    more: tuple[object, ...] = ()
    names: tuple[str, ...] = ()


def names_of(function: Function, leave_out: int = 0) -> tuple[str, ...]:
    """The names of a function's positional parameters, but for the first few."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in parameters if p.kind in kinds)[leave_out:]


def __getattr__(name: str) -> object:
    """Load an adapter when it is first used: importing its module would hide the function."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOME.get(name, name)}"), name)
    globals()[name] = found
    return found
