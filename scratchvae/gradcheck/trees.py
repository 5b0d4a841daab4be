"""Arrays inside tuples, lists, dicts and objects: by name, and the same structure again."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.types import Function

Place = tuple[Any, ...]  # the way to a leaf: positions and keys
Leaf = Any  # an array, a number, or whatever else a function may take


def leaves(value: object, place: Place = ()) -> Iterator[tuple[Place, Leaf]]:
    """Every leaf of nested containers, in order; a list of plain numbers is one leaf, an array."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, (*place, key))
    elif isinstance(value, tuple | list) and not is_numbers(value):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*place, i))
    else:
        yield place, value


def rebuilt(value: object, new: Mapping[Place, object], place: Place = ()) -> object:
    """The same containers with the leaves of ``new``; a leaf that is not there stays."""
    if isinstance(value, Mapping):
        return {key: rebuilt(inner, new, (*place, key)) for key, inner in value.items()}
    if isinstance(value, tuple | list) and not is_numbers(value):
        inner = [rebuilt(v, new, (*place, i)) for i, v in enumerate(value)]
        container: Function = type(value)
        return container(*inner) if hasattr(value, "_fields") else container(inner)
    return new.get(place, value)


def is_numbers(value: object) -> bool:
    """Whether a list or tuple holds numbers alone, perhaps in lists: what NumPy calls an array."""
    if not isinstance(value, tuple | list) or not value:
        return False
    return all(
        (isinstance(v, int | float) and not isinstance(v, bool)) or is_numbers(v) for v in value
    )


def is_real(leaf: object) -> bool:
    """Whether a leaf is a floating-point number or array, which has a gradient."""
    if isinstance(leaf, float | np.ndarray | np.generic):
        return np.asarray(leaf).dtype.kind == "f"
    return is_numbers(leaf) and np.asarray(leaf).dtype.kind == "f"


def words(place: Place, names: tuple[str, ...] = ()) -> str:
    """A leaf's place as Python writes it: x, params['W'], blocks[2]."""
    if not place:
        return "the value"
    first, *rest = place
    start = names[first] if isinstance(first, int) and first < len(names) else f"[{first!r}]"
    return start + "".join(f"[{key!r}]" for key in rest)


def joined(parts: list[NDArray]) -> NDArray:
    """Arrays of any shapes as one vector."""
    return np.concatenate([np.asarray(p).reshape(-1) for p in parts])


def attributes(thing: object) -> dict[str, object]:
    """What an object holds by name, whether it has a ``__dict__`` or ``__slots__`` or neither."""
    slots = (s for c in type(thing).__mro__ for s in _named(c.__dict__.get("__slots__", ())))
    held = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    return held | dict(getattr(thing, "__dict__", {}))


def _named(slots: str | Iterable[str]) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots
