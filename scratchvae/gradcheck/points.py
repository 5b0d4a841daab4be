"""Points and directions from a seed and a name alone  (E26); points that hide errors.

A gradient can be wrong and right at one point: x² for x³ at ones, a transpose at a symmetric
matrix, a lost factor where the gradient is zero. After any verdict a function is checked at a
second point near the first, and where it has kinks at a third with zeros and equal numbers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, normal, uniform

Float64 = NDArray[np.float64]

STEP = 2.0**-52 * 1e6 / 3  # no whole number of ulp: every digit that rounding made is made anew


def direction(shape: tuple[int, ...], seed: int, name: str, number: int = 0) -> Float64:
    """A direction whose components cannot vanish: ±[½, 3/2), each sign equally likely.

    With a normal direction a wrong element hides behind a component that happens to be small.
    """
    stream = Stream.named(seed, Purpose.DIRECTION, f"direction {name}")._replace(step=number)
    t = 2.0 * uniform(shape, stream) - 1.0
    return np.where(t >= 0, t + 0.5, t - 0.5)


def point(shape: tuple[int, ...], seed: int, name: str) -> Float64:
    """Normal numbers to check a gradient at."""
    return normal(shape, Stream.named(seed, Purpose.DIRECTION, f"point {name}"))


def unit_interval(shape: tuple[int, ...], seed: int, name: str) -> Float64:
    """Uniform numbers of [0, 1), such as grey pixels."""
    return uniform(shape, Stream.named(seed, Purpose.DIRECTION, f"grey {name}"))


def typical(x: NDArray) -> float:
    """The usual size of the elements that are not zero; 1 where all are."""
    sizes = np.abs(x[x != 0])
    return float(np.median(sizes)) if sizes.size else 1.0


def rays(args: Mapping[str, NDArray]) -> Iterator[Callable[[int], dict[str, NDArray]]]:
    """Four ways to move off a point in steps so small that only rounding changes between them.

    A ray passes no kink that the point lies on: it starts beside it. Zeros move by a part of the
    usual size, other numbers by a part of their own: alike, or each in its own way.
    """
    for number, sign in ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)):
        u = {
            n: sign * (direction(a.shape, 0, f"ray {n}") if number else np.ones(a.shape))
            for n, a in args.items()
        }
        yield lambda k, u=u: {  # type: ignore[misc]
            n: a + k * STEP * u[n] * np.where(a == 0, typical(a), np.abs(a))
            for n, a in args.items()
        }


def rounding_along(values: Sequence[NDArray]) -> NDArray:
    """The rounding in values along a ray: fourth differences take away what is smooth."""
    return np.asarray(np.sqrt(np.mean(np.diff(values, 4, axis=0) ** 2, axis=0) / 70.0))


def typical_rounding(found: Sequence[NDArray]) -> NDArray:
    """Of several rays the second largest: one may cross a kink nearby, one see nothing."""
    return np.asarray(np.sort(found, axis=0)[-2])


def nearby(x: NDArray, seed: int, name: str) -> NDArray:
    """Every element moved by up to a quarter of itself, in its own way; signs stay.

    A zero moves by up to a quarter of what is usual here: zeros hide what they multiply.
    """
    u = direction(x.shape, seed, f"near {name}") / 6.0  # ±[1/12, 1/4)
    return np.asarray(np.where(x == 0, u * typical(x), x * (1.0 + u)))


def with_ties(x: NDArray, seed: int, name: str) -> NDArray:
    """A zero, and in every row the greatest number twice: kinks of ReLU, max and sort."""
    new = np.atleast_1d(nearby(x, seed, name))
    rows = new.reshape(-1, new.shape[-1]) if new.shape[-1] > 1 else new.reshape(1, -1)
    if rows.size:
        order = np.argsort(rows, axis=1)
        if rows.shape[1] > 1:
            greatest = np.take_along_axis(rows, order[:, -1:], axis=1)
            np.put_along_axis(rows, order[:, -2:-1], greatest, axis=1)
        rows[0, order[0, 0]] = 0.0
    return new.reshape(x.shape)


def hiding(args: Mapping[str, NDArray], gradients: Mapping[str, NDArray]) -> Iterator[str]:
    """What about a point could hide an error, in words."""
    for name, x in args.items():
        size = f"{name} {x.shape}"
        if x.size < 2:
            continue
        if np.all(x == x.flat[0]):
            what = {0.0: "all zeros", 1.0: "all ones"}.get(
                float(x.flat[0]), "one number everywhere"
            )
            yield f"{size} is {what}, which hides factors and sums over the wrong axis"
        elif x.ndim == 2 and x.shape[0] == x.shape[1] and np.array_equal(x, x.T):
            yield f"{size} is symmetric, which hides a transpose"
        elif x.ndim >= 2 and len(set(x.shape)) < x.ndim and max(x.shape) > 1:
            yield f"{size} is as high as wide, so that a transpose or a wrong axis fits"
        g = gradients.get(name)
        if g is not None and g.size and not np.any(g):
            yield f"the gradient of {name} is zero here, which hides every factor"
        elif g is not None and g.size > 3:
            still = np.abs(g) < 1e-6 * np.max(np.abs(g))
            if np.count_nonzero(still) > 0.9 * g.size:
                yield f"nine tenths of the gradient of {name} are zero or saturated"
