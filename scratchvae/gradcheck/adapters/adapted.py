"""What every adapter makes: a function of NumPy arrays and its vjp."""

import inspect
from dataclasses import dataclass

from scratchvae.types import Function


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
