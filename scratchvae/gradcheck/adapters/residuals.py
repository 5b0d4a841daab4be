"""A forward pass that returns what its backward pass needs, as ``jax.custom_vjp`` has it."""

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters import Adapted, names_of
from scratchvae.types import Function


def residuals(forward: Function, backward: Function, dy_first: bool = False) -> Adapted:
    """``forward(*arguments) -> (y, residuals)`` and ``backward(residuals, dy)``.

    ``dy_first``: the backward pass is called ``backward(dy, residuals)``, as in many courses. For a
    function under ``jax.custom_vjp``, what ``defvjp`` was given. Raises ``ConfigError`` where the
    forward pass does not return a pair.
    """

    def both(*arguments: object, **constants: object) -> tuple[object, object]:
        found = forward(*arguments, **constants)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ConfigError(
                f"{_name(forward)} returns {type(found).__name__}, expected the pair "
                "(y, residuals): put what the backward pass needs into one tuple"
            )
        return found

    def f(*arguments: object, **constants: object) -> object:
        return both(*arguments, **constants)[0]

    def vjp(*arguments_and_dy: object, **constants: object) -> object:
        *arguments, dy = arguments_and_dy
        kept = both(*arguments, **constants)[1]
        return backward(dy, kept) if dy_first else backward(kept, dy)

    return Adapted(f, vjp, _name(forward), names=names_of(forward))


def _name(function: Function) -> str:
    return getattr(function, "__name__", type(function).__name__)
