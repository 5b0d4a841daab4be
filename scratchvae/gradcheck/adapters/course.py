"""A layer as courses have it: ``forward``, ``backward``, parameters and gradients as attributes."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters import Adapted, names_of
from scratchvae.gradcheck.trees import attributes
from scratchvae.types import Function

# Where the gradient of a parameter W is looked for.
GRADIENTS = ("d{}", "grad_{}", "{}_grad", "g{}", "d_{}", "grads['{}']", "grad['{}']", "{}.grad")

# How to read a parameter of a layer, and how to write it.
Access = tuple[Callable[[], object], Callable[[object], None]]


class Layer(Protocol):
    """What a layer of a course has at least."""

    forward: Function
    backward: Function


def course(layer: Layer, **gradients: str) -> Adapted:
    """``y = layer.forward(x)``, ``dx = layer.backward(dy)``, and the layer's parameters.

    Parameters are the arrays that the layer has beforehand, or those in ``params``; their gradients
    are looked for after a backward pass: for W in dW, grad_W, W_grad, ``grads['W']`` or, for an
    object with ``data`` and ``grad``, W.grad. Keywords name others:
    ``course(layer, weight="update")``. An array without a gradient is not checked, and the report
    says so: hand in a layer that has not run yet. ``layer.zero_grad()`` is called before each
    backward pass where there is one. Raises ``ConfigError`` for a layer without ``forward`` or
    ``backward``.
    """
    for method in ("forward", "backward"):
        if not callable(getattr(layer, method, None)):
            raise ConfigError(
                f"{type(layer).__name__} has no method {method}(): a layer of a course has "
                "forward(x), which returns y, and backward(dy), which returns dx"
            )
    places = list(_parameters(layer, gradients))

    def run(arguments: tuple[object, ...]) -> object:
        count = len(places)
        for place, value in zip(places, arguments[len(arguments) - count :], strict=True):
            place.write(value)
        return layer.forward(*arguments[: len(arguments) - count])

    def f(*arguments: object) -> object:
        return run(arguments)

    def vjp(*arguments_and_dy: object) -> object:
        *arguments, dy = arguments_and_dy
        run(tuple(arguments))
        zero_grad = getattr(layer, "zero_grad", None)
        if callable(zero_grad):
            zero_grad()
        found = layer.backward(dy)
        found = found if isinstance(found, tuple) else (found,)
        return (*found, *(place.gradient() for place in places))

    more = tuple(np.array(place.read(), dtype=float) for place in places)
    names = (*names_of(layer.forward), *(place.name for place in places))
    return Adapted(f, vjp, type(layer).__name__, more, names)


class Place:
    """A parameter of a layer: how to read and write it, and where its gradient is."""

    def __init__(self, name: str, read: Callable[[], object], write: Callable[[object], None],
                 gradient: Callable[[], object]) -> None:  # fmt: skip
        self.name, self.read, self.write, self.gradient = name, read, write, gradient


def _parameters(layer: object, gradients: dict[str, str]) -> Iterator[Place]:
    held = getattr(layer, "params", None)
    if isinstance(held, dict):
        for name in held:
            yield Place(name, *_item(held, name), _gradient(layer, name, gradients))
        return
    for name, value in attributes(layer).items():
        if _is_gradient(layer, name, gradients):
            continue
        owner, attribute = (layer, name) if _is_array(value) else (value, "data")
        if _is_array(getattr(owner, attribute, None)):
            yield Place(name, *_attribute(owner, attribute), _gradient(layer, name, gradients))


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _is_gradient(layer: object, name: str, gradients: dict[str, str]) -> bool:
    """Whether a name is that of the gradient of another attribute."""
    plain = [form for form in GRADIENTS if "[" not in form and "." not in form]
    others = [n for n in attributes(layer) if n != name]
    return name in gradients.values() or any(f.format(n) == name for f in plain for n in others)


def _gradient(layer: object, name: str, gradients: dict[str, str]) -> Callable[[], object]:
    def read() -> object:
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


def _attribute(owner: object, name: str) -> Access:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _item(owner: dict[str, object], name: str) -> Access:
    return lambda: owner[name], lambda value: owner.__setitem__(name, value)
