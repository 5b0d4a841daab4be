"""What changes with the step: learning rates, and the weight of the KL.

A learning rate has a text that a settings file can hold:

| text | η at step t = 1, 2, … |
|---|---|
| ``1e-3`` or ``constant:1e-3`` | 1e-3 |
| ``exponential:1e-3:0.5:1000`` | 1e-3 · 0.5^((t − 1) / 1000) |
| ``cosine:1e-3:1e-5:10000`` | half a cosine from 1e-3 down to 1e-5, which it keeps from 10,001 on |
| ``piecewise:1e-3:5000:1e-4:8000:1e-5`` | 1e-3 up to step 5000, 1e-4 up to 8000, then 1e-5 |
| ``warmup:500:`` before any of these | (t / 500) times its η, up to step 500 |

``schedule(text)`` makes one, ``str`` of it gives the text back, and to call it with t gives η.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Union

from scratchvae.errors import ConfigError


@dataclass(frozen=True)
class Constant:
    """The same rate at every step."""

    rate: float

    def __post_init__(self) -> None:
        _positive(self.rate)

    def __call__(self, t: int) -> float:
        return float(self.rate)

    def __str__(self) -> str:
        return _text("constant", self.rate)


@dataclass(frozen=True)
class Exponential:
    """``start`` at step 1, multiplied by ``factor`` over every ``steps`` steps, continuously."""

    start: float
    factor: float
    steps: int

    def __post_init__(self) -> None:
        _positive(self.start)
        if not 0 < self.factor <= 1:
            raise ConfigError(f"the factor of a decay lies in (0, 1], not {self.factor}")
        _steps(self.steps)

    def __call__(self, t: int) -> float:
        return float(self.start * self.factor ** ((t - 1) / self.steps))

    def __str__(self) -> str:
        return _text("exponential", self.start, self.factor, self.steps)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from ``start`` at step 1 to ``end``, reached after ``steps`` steps."""

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _positive(self.start)
        if not (math.isfinite(self.end) and self.end >= 0):
            raise ConfigError(f"the last learning rate must not be negative: {self.end}")
        _steps(self.steps)

    def __call__(self, t: int) -> float:
        done = min((t - 1) / self.steps, 1.0)
        return float(self.end + (self.start - self.end) * 0.5 * (1.0 + math.cos(math.pi * done)))

    def __str__(self) -> str:
        return _text("cosine", self.start, self.end, self.steps)


@dataclass(frozen=True)
class Piecewise:
    """``rates[k]`` up to and including step ``until[k]``; the last rate from there on."""

    rates: tuple[float, ...]
    until: tuple[int, ...]

    def __post_init__(self) -> None:
        for rate in self.rates:
            _positive(rate)
        for steps in self.until:
            _steps(steps)
        rising = all(a < b for a, b in pairwise(self.until))
        if len(self.rates) != len(self.until) + 1 or not rising:
            raise ConfigError(
                f"a piecewise schedule has one rate more than steps, and its steps rise: {self}"
            )

    def __call__(self, t: int) -> float:
        return float(self.rates[sum(t > steps for steps in self.until)])

    def __str__(self) -> str:
        mixed = [x for both in zip(self.rates, self.until, strict=False) for x in both]
        return _text("piecewise", *mixed, *self.rates[len(self.until) :])


@dataclass(frozen=True)
class Warmup:
    """A ramp from 0, complete at step ``steps``, before another schedule of the same step."""

    steps: int
    then: "Schedule"

    def __post_init__(self) -> None:
        _steps(self.steps)

    def __call__(self, t: int) -> float:
        return self.then(t) * min(t / self.steps, 1.0)

    def __str__(self) -> str:
        return f"warmup:{self.steps}:{self.then}"


Schedule = Constant | Exponential | Cosine | Piecewise | Warmup
Rate = Union[float, str, Schedule]  # noqa: UP007  (a union type cannot be an operand of |)


def schedule(rate: Rate) -> Schedule:
    """The schedule of a number or of a text; a schedule as it is. ``ConfigError`` for others."""
    if isinstance(rate, Schedule):
        return rate
    if isinstance(rate, str):
        name, *rest = rate.split(":")
        try:
            return SCHEDULES[name](rest) if name in SCHEDULES else Constant(float(rate))
        except ConfigError:
            raise
        except (ValueError, TypeError, IndexError):
            raise ConfigError(
                f"the learning rate {rate!r} is neither a number nor a schedule: {FORMS}"
            ) from None
    number: object = rate  # Python's or NumPy's
    if isinstance(number, bool) or not isinstance(number, Real):
        raise ConfigError(f"the learning rate is a number, a schedule or its text, not {rate!r}")
    return Constant(float(number))


FORMS = (
    "constant:η, exponential:η:factor:steps, cosine:η:last:steps, "
    "piecewise:η:step:η:step:…:η, warmup:steps:and any of these"
)
SCHEDULES: dict[str, Callable[[list[str]], Schedule]] = {
    "constant": lambda a: Constant(*map(float, a)),
    "exponential": lambda a: Exponential(*_two(a[:-1]), int(a[-1])),
    "cosine": lambda a: Cosine(*_two(a[:-1]), int(a[-1])),
    "piecewise": lambda a: Piecewise(tuple(map(float, a[::2])), tuple(map(int, a[1::2]))),
    "warmup": lambda a: Warmup(int(a[0]), schedule(":".join(a[1:]))),
}


def _two(texts: list[str]) -> tuple[float, float]:
    first, second = map(float, texts)
    return first, second


def _text(name: str, *numbers: Any) -> str:
    plain = (int(n) if isinstance(n, Integral) else float(n) for n in numbers)  # NumPy's too
    return ":".join([name, *map(repr, plain)])


def _positive(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise ConfigError(f"the learning rate must be positive, not {rate}")


def _steps(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"a schedule needs at least one step, not {steps}")


def kl_weight(beta: float, step: int, warmup: int) -> float:
    """KL warm-up: β_t = β · min(1, (t − 1)/N) at step t = 1, 2, …, with N = ``warmup``  (E54).

    The first step has none of the KL, step N + 1 and all later ones have all of it; with N = 0
    every step has. Bowman et al. 2016; Sønderby et al. 2016.
    """
    return beta * min(1.0, (step - 1) / warmup) if warmup else beta
