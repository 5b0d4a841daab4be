"""What the optimizers have in common: a learning rate that may change, moments, clipping."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from scratchvae.backend import FLUSH_EVERY, Array, Backend, Number, flush_threshold
from scratchvae.errors import ConfigError, MissingMethodError, did_you_mean
from scratchvae.memory import FlatBuffer, FlatStretch
from scratchvae.optim.clipping import clip_gradient, measure_norm
from scratchvae.optim.schedules import Rate, Schedule, schedule
from scratchvae.types import Function


class Optimizer:
    """The settings of an update rule, without any buffer.

    A rule is a subclass that declares its ``moments`` and states its :meth:`update`.

    Parameters
    ----------
    lr : float, str or Schedule
        The learning rate: a number, a schedule or its text (:mod:`scratchvae.optim.schedules`).
    clip : float, optional
        The largest norm that a gradient may have; None or 0 for any.

    Attributes
    ----------
    name : str
        What settings call the rule, and what its buffers are called in a checkpoint.
    moments : tuple of str
        The flat buffers that it keeps beside the parameters.
    starts : mapping of str to float
        What a moment starts from where that is not 0.

    Raises
    ------
    ConfigError
        For a setting out of its range.
    """

    name = ""
    moments: tuple[str, ...] = ()
    starts: Mapping[str, float] = {}

    def __init__(self, lr: Rate, clip: float | None = None) -> None:
        self.schedule = schedule(lr)
        self.lr: Any = lr if isinstance(lr, str | Schedule) else self.schedule(1)
        clip = float(clip or 0)
        require(
            math.isfinite(clip) and clip >= 0, f"clip must be positive, or 0 for none, not {clip}"
        )
        self.clip = clip or None

    @classmethod
    def own_settings(cls) -> dict[str, float | bool]:
        """The settings of the rule beside ``lr`` and ``clip``, by name, with their defaults.

        They are what ``__init__`` takes whose default is a number, or True or False.
        """
        given = inspect.signature(cls).parameters.values()
        return {
            p.name: p.default
            for p in given
            if p.name not in ("lr", "clip") and isinstance(p.default, int | float)
        }

    @classmethod
    def settings_in_words(cls) -> tuple[str, ...]:
        """The defaults of :meth:`own_settings` as settings files have them: "beta1=0.9"."""
        return tuple(
            f"{name}={str(value).lower() if isinstance(value, bool) else f'{value:g}'}"
            for name, value in cls.own_settings().items()
        )

    @classmethod
    def from_settings(cls, lr: Rate, clip: float | None, words: Sequence[str]) -> "Optimizer":
        """The rule with the settings that ``words`` change: "beta1=0.99", "eps_hat=true".

        Raises ``ConfigError`` for a setting that the rule does not have.
        """
        return cls(lr=lr, clip=clip, **dict(_parse(word, cls) for word in words))

    def __repr__(self) -> str:
        known = {k: v for k, v in vars(self).items() if k not in ("schedule", "moments", "starts")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in known.items())})"

    def update(
        self, bk: Backend, p: Array, g: Array, moments: Sequence[Array], lr: float, t: int
    ) -> None:
        """One update of the parameters ``p`` and of the ``moments``, in place.

        Parameters
        ----------
        bk : Backend
            Its ``xp`` has the functions of NumPy for its arrays.
        p, g : arrays (n,) of the float type of ``bk``
            Parameters and gradient. The gradient stays as it is.
        moments : sequence of arrays like ``p``
            The buffers that the rule declares, in the order in which it declares them.
        lr : float
            The learning rate of this update.
        t : int
            The number of the update, counted from 1.
        """
        raise MissingMethodError(
            f"{type(self).__name__} has no update(self, bk, p, g, moments, lr, t): write one that "
            "changes p, and its moments, in place"
        )

    def flush(self, bk: Backend, moments: Sequence[Array], t: int) -> None:
        """Every 128 steps, set entries of the moments that are too small to matter to zero.

        Those of a weight whose gradient stays zero would otherwise decay until they are
        subnormal, and arithmetic with subnormal numbers is many times slower.
        """
        if t % FLUSH_EVERY == 0:
            for moment, threshold in zip(moments, self.flush_thresholds(bk), strict=True):
                moment *= bk.xp.abs(moment) > threshold

    def flush_thresholds(self, bk: Backend) -> tuple[float, ...]:
        """For each moment, the size up to which an entry is too small to matter.

        By default 1e8 times the smallest normal number of the float type (1.2e-30 in float32). A
        rule that divides by its moments asks for less where that is visible beside its ε.
        """
        return (flush_threshold(bk.dtype),) * len(self.moments)

    def bind(
        self,
        bk: Backend,
        params: FlatBuffer | FlatStretch,
        grads: FlatBuffer | FlatStretch,
        parts: Sequence[slice] = (slice(None),),
    ) -> "BoundOptimizer":
        """Give the rule the buffers that it works on, and new moments.

        ``parts``: the stretches of the flat buffers that different workers update.
        """
        require(
            hasattr(self, "schedule"),
            f"{type(self).__name__}.__init__ must call super().__init__(lr, clip), which keeps the "
            "learning rate",
        )
        return BoundOptimizer(self, bk, params, grads, parts)


class BoundOptimizer:
    """An optimizer on its buffers; ``state`` holds the moments by name.

    With a ``clip`` the gradient is overwritten by the clipped one. Its norm needs all parts: a
    caller with several of them calls :meth:`measure_norm` for each, waits for all, then
    :meth:`step`.
    """

    def __init__(
        self,
        rule: Optimizer,
        bk: Backend,
        params: FlatBuffer | FlatStretch,
        grads: FlatBuffer | FlatStretch,
        parts: Sequence[slice],
    ) -> None:
        self.rule, self.bk = rule, bk
        self.state = {name: FlatBuffer(bk, params.layout) for name in rule.moments}
        for name, start in rule.starts.items():
            for a in self.state[name].views.values():
                a.fill(start)
        buffers = (params, grads, *self.state.values())
        self.parts: list[tuple[Array, ...]] = [
            tuple(buffer.flat[part] for buffer in buffers) for part in parts
        ]
        self.scratch = [bk.update_scratch(part[0].size) for part in self.parts]
        self.scales, self.squares = (bk.zeros((len(self.parts),)) for _ in range(2))

    @property
    def needs_barrier(self) -> bool:
        """Whether all workers have to :meth:`measure_norm` before one of them may step."""
        return self.rule.clip is not None and len(self.parts) > 1

    @property
    def recordable(self) -> bool:
        """Whether a recorded step may hold the update, which then allocates nothing.

        A rule that the backend knows only as plain equations makes temporary arrays, and takes
        its learning rate and its ``t`` from the host.
        """
        return self.bk.fused(type(self.rule).update) is not None

    def measure_norm(self, part: int = 0) -> None:
        """The norm of one part of the gradient, for clipping  (E44)."""
        one = slice(part, part + 1)
        g = self.parts[part][1]
        self._compute(part, measure_norm, self.bk, g, self.scales[one], self.squares[one])

    def clip(self, part: int = 0) -> None:
        """Shorten one part of the gradient as the norm of all parts asks for  (E44)."""
        if self.rule.clip is None:
            return
        if len(self.parts) == 1:
            self.measure_norm()
        g, limit = self.parts[part][1], self.rule.clip
        self._compute(part, clip_gradient, self.bk, g, self.scales, self.squares, limit)

    def step(self, t: Number, part: int = 0, lr: Number | None = None) -> None:
        """The update number ``t``, counted from 1, of one part, from the gradient in its buffer.

        ``lr`` is the schedule's rate at ``t``, for a caller who has looked it up already.
        """
        self.clip(part)
        p, g, *buffers = self.parts[part]
        lr = self.rule.schedule(t) if lr is None else lr
        update = self.bk.fused(type(self.rule).update)
        if update is None:
            update = type(self.rule).update
        else:
            buffers.append(self.scratch[part])
        if update(self.rule, self.bk, p, g, buffers, lr, t) is not None:
            raise ConfigError(
                f"{type(self.rule).__name__}.update returned something, where it must change p in "
                "place: p -= ..."
            )

    def _compute(self, part: int, equation: Function, *args: object) -> object:
        """An equation as it stands, or in the backend's faster form."""
        fused = self.bk.fused(equation)
        return equation(*args) if fused is None else fused(*args, self.scratch[part])


def _parse(word: str, rule: type[Optimizer]) -> tuple[str, float | bool]:
    """The name and the value of a setting in words."""
    known = rule.own_settings()
    name, equals, text = word.partition("=")
    if name not in known or not equals:
        raise ConfigError(
            f"{word!r} sets nothing of the optimizer {rule.name or rule.__name__!r}."
            f"{did_you_mean(name, known)} There are: {', '.join(rule.settings_in_words())}"
        )
    try:
        if isinstance(known[name], bool):
            return name, {"true": True, "false": False}[text.lower()]
        return name, float(text)
    except (KeyError, ValueError):
        wanted = "true or false" if isinstance(known[name], bool) else "a number"
        raise ConfigError(f"{name} of an optimizer is {wanted}, not {text!r}") from None


def require(fine: bool, message: str) -> None:
    """``ConfigError`` with this message unless ``fine``."""
    if not fine:
        raise ConfigError(message)
