"""Comparisons of arrays that say enough of a failure to find its cause without the machine.

The first line names the array, the first wrong element, and what was expected and found there. Then
come shapes, types, how far off the worst is, and where wrong elements lie. ``conftest`` adds the
last launches of kernels to whatever failed.
"""

from collections import deque
from typing import Any

import numpy as np

launches: deque[str] = deque(maxlen=12)  # the last ones of the test that runs; conftest fills it
SHOWN = 8  # indices, at most


def describe_launch(name: str, blocks: int, args: tuple[Any, ...]) -> str:
    """A launch as a line: kernel, blocks, and its arguments; of an array shape and type."""
    plain = (type(None), int, float, np.generic)  # anything else lies on the device: not read here
    shown = [str(a) if isinstance(a, plain) else f"{a.dtype}{list(a.shape)}" for a in args]
    return f"{name}<<<{blocks}>>>({', '.join(shown)})"


def assert_same(name: str, found: Any, expected: Any) -> None:
    """The same numbers in every element; NaN is NaN."""
    assert_close(name, found, expected, rtol=0.0, atol=0.0)


def assert_close(name: str, found: Any, expected: Any, rtol: float, atol: float = 0.0) -> None:
    """Every element within atol + rtol |expected|; NaN is NaN, and an infinity itself."""
    found, expected = alike(name, found, expected)
    right = (found == expected) | (np.isnan(found) & np.isnan(expected))
    if rtol or atol:
        with np.errstate(invalid="ignore"):
            difference = np.abs(np.subtract(found, expected, dtype=common(found, expected)))
            near = difference <= atol + rtol * np.abs(expected)
        right |= near & np.isfinite(expected)
    if not right.all():
        limit = f"rtol {rtol:.3g}, atol {atol:.3g}" if rtol or atol else "no difference"
        raise AssertionError(explain(name, found, expected, ~right, f"allowed: {limit}"))


def assert_near(name: str, found: Any, expected: Any, limit: float) -> None:
    """‖found − expected‖ / ‖expected‖ below ``limit``, both norms Euclidean."""
    found, expected = alike(name, found, expected)
    norm = np.linalg.norm(expected)
    with np.errstate(all="ignore"):
        error = np.linalg.norm(found - expected) / norm
        size = np.abs(found - expected)
        # these are far off by themselves; if none is, the farthest
        wrong = ~(size <= limit * norm / np.sqrt(max(size.size, 1)))
        wrong = wrong if wrong.any() else size == size.max(initial=0)
    if not error < limit:
        allowed = f"‖difference‖ / ‖expected‖ is {error:.3g}, allowed: {limit:.3g}"
        raise AssertionError(explain(name, found, expected, wrong, allowed))


def alike(name: str, found: Any, expected: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; an error unless they have the same shape."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, (
        f"{name}: found {found.dtype}{list(found.shape)}, "
        f"expected the shape {list(expected.shape)}; {kernels()}"
    )
    return found, expected


def explain(
    name: str, found: np.ndarray, expected: np.ndarray, wrong: np.ndarray, allowed: str
) -> str:
    """What there is to know about the elements that are ``wrong``."""
    places = np.argwhere(wrong)
    first = tuple(places[0])
    size = np.abs(np.subtract(found, expected, dtype=common(found, expected)))
    size = np.where(wrong, np.nan_to_num(size, nan=np.inf), -1.0)
    worst = np.unravel_index(np.argmax(size), size.shape)
    values = found[wrong]
    kinds = {"zero": values == 0, "NaN": np.isnan(values), "infinite": np.isinf(values)}
    counts = ", ".join(f"{kind.sum()} {what}" for what, kind in kinds.items())
    lines = [
        f"{name}{at(first)}: expected {expected[first]}, found {found[first]}; "
        f"{len(places)} of {wrong.size} elements are wrong; {kernels()}",
        f"{allowed}; found {found.dtype}{list(found.shape)}, expected {expected.dtype}",
        f"worst {at(worst)}: expected {expected[worst]}, found {found[worst]}",
        f"of the wrong ones found: {counts}; in memory's order: {some(np.flatnonzero(wrong))}",
    ]
    if wrong.ndim > 1:
        lines += [f"along axis {k}: {some(np.unique(places[:, k]))}" for k in range(wrong.ndim)]
    return "\n".join(lines)


def common(*arrays: np.ndarray) -> np.dtype:
    """A type in which differences have a sign."""
    return np.result_type(*arrays, "f8")


def kernels() -> str:
    """The kernels of the last launches, each once, in their order."""
    names = dict.fromkeys(launch.split("<<<")[0] for launch in launches)
    return f"kernels: {', '.join(names) or 'none'}"


def at(index: tuple[Any, ...]) -> str:
    """An index as it is written in Python."""
    return f"[{', '.join(str(int(i)) for i in index)}]"


def some(indices: np.ndarray) -> str:
    """The first ones of some indices, and the last."""
    shown = ", ".join(map(str, indices[:SHOWN]))
    return shown if len(indices) <= SHOWN else f"{shown}, … {indices[-1]} ({len(indices)})"
