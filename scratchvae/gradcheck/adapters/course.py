"""A layer as courses have it: ``forward``, ``backward``, parameters and gradients as attributes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters.adapted import Adapted, names_of

# Where the gradient of a parameter W is looked for.
GRADIENTS = ("d{}", "grad_{}", "{}_grad", "g{}", "d_{}", "grads['{}']", "grad['{}']", "{}.grad")


def course(layer: Any, **gradients: str) -> Adapted:
    """``y = layer.forward(x)``, ``dx = layer.backward(dy)``, and the layer's parameters.

    Parameters are found by their gradients: W with dW, grad_W, W_grad, ``grads['W']`` (beside
    ``params['W']``) or, for objects with ``data`` and ``grad``, W.grad. Keywords name others:
    ``course(layer, weight="weight_update")``. ``layer.zero_grad()`` is called before each backward
    pass where there is one. Raises ``ConfigError`` for a layer without ``forward`` or ``backward``.
    """
    for method in ("forward", "backward"):
        if not callable(getattr(layer, method, None)):
            raise ConfigError(
                f"{type(layer).__name__} has no method {method}(): a layer of a course has "
                "forward(x), which returns y, and backward(dy), which returns dx"
            )
    places = list(_parameters(layer, gradients))

    def run(arguments: tuple[Any, ...]) -> Any:
        count = len(places)
        for place, value in zip(places, arguments[len(arguments) - count :], strict=True):
            place.write(value)
        return layer.forward(*arguments[: len(arguments) - count])

    def f(*arguments: Any) -> Any:
        return run(arguments)

    def vjp(*arguments_and_dy: Any) -> Any:
        *arguments, dy = arguments_and_dy
        run(tuple(arguments))
        if callable(getattr(layer, "zero_grad", None)):
            layer.zero_grad()
        found = layer.backward(dy)
        found = found if isinstance(found, tuple) else (found,)
        return (*found, *(place.gradient() for place in places))

    more = tuple(np.array(place.read(), dtype=float) for place in places)
    names = (*names_of(layer.forward), *(place.name for place in places))
    return Adapted(f, vjp, type(layer).__name__, more, names)


class Place:
    """A parameter of a layer: how to read and write it, and where its gradient is."""

    def __init__(self, name: str, read: Callable[[], Any], write: Callable[[Any], None],
                 gradient: Callable[[], Any]) -> None:  # fmt: skip
        self.name, self.read, self.write, self.gradient = name, read, write, gradient


def _parameters(layer: Any, gradients: dict[str, str]) -> Iterator[Place]:
    held = getattr(layer, "params", None)
    if isinstance(held, dict):
        for name in held:
            yield Place(name, *_item(held, name), _gradient(layer, name, gradients))
        return
    for name, value in vars(layer).items():
        if name in gradients or _has_gradient(layer, name, value):
            inner = getattr(value, "data", None)
            if not isinstance(value, np.ndarray) and isinstance(inner, np.ndarray):
                yield Place(name, *_attribute(value, "data"), _gradient(layer, name, gradients))
            elif isinstance(value, np.ndarray | float):
                yield Place(name, *_attribute(layer, name), _gradient(layer, name, gradients))


def _has_gradient(layer: Any, name: str, value: Any) -> bool:
    if hasattr(value, "data") and hasattr(value, "grad") and not isinstance(value, np.ndarray):
        return True
    plain = [form.format(name) for form in GRADIENTS if "[" not in form and "." not in form]
    named = any(hasattr(layer, n) for n in plain if n != name)
    listed = any(name in (getattr(layer, d, None) or {}) for d in ("grads", "grad")
                 if isinstance(getattr(layer, d, None), dict))  # fmt: skip
    return isinstance(value, np.ndarray | float) and (named or listed)


def _gradient(layer: Any, name: str, gradients: dict[str, str]) -> Callable[[], Any]:
    def read() -> Any:
        if name in gradients:
            return getattr(layer, gradients[name])
        for holder in ("grads", "grad"):
            held = getattr(layer, holder, None)
            if isinstance(held, dict):
                for key in (name, f"d{name}"):
                    if key in held:
                        return held[key]
        for form in GRADIENTS:
            if hasattr(layer, form.format(name)) and form.format(name) != name:
                return getattr(layer, form.format(name))
        return getattr(getattr(layer, name, None), "grad", None)

    return read


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _item(owner: dict[str, Any], name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: owner[name], lambda value: owner.__setitem__(name, value)
