"""Errors that a person can act on: what was wrong, where, what was expected, what to do.

One type per kind of trouble. The command line prints the sentence and exits with 2; a traceback
is never the answer to a user's mistake.
"""

import reprlib
from collections.abc import Callable, Iterable
from operator import index
from typing import Any


class ScratchVAEError(Exception):
    """The base of every error that this package raises on purpose."""

    exit_code = 2  # of the command line


class ConfigError(ScratchVAEError, ValueError):
    """An invalid setting, argument or combination of them."""


class OwnClassError(ConfigError):
    """A class or module of the caller's own that settings name, and that is not there."""


class MissingMethodError(ConfigError, NotImplementedError):
    """A class of the caller's own lacks a method; the message says what to write, and where."""


class DataError(ScratchVAEError, ValueError):
    """Data that is missing, damaged, foreign, or unfit for the model it is meant for."""


class DownloadError(DataError):
    """No mirror delivered the bytes that were expected."""


class DeviceError(ScratchVAEError, RuntimeError):
    """The device that was asked for cannot be used on this machine."""


class WorkerError(ScratchVAEError, RuntimeError):
    """A process that shares a training step ended, or could not be started."""


class RunError(ScratchVAEError):
    """A run folder that is missing, damaged, or already holds another run."""


class CheckpointError(RunError):
    """A checkpoint that cannot be read, is damaged, or belongs to another model."""


class ReplayError(RunError):
    """A file that cannot be read, is damaged, or is not a replay file."""


class NonFiniteError(ScratchVAEError, ArithmeticError):
    """An infinity or NaN appeared while training; the message names where it appeared first.

    ``replay`` holds the step it appeared in (``training.replay.Replay``), where there is one.
    """

    replay: Any = None


def whole_number(value: object, what: str, least: int = 1) -> int:
    """``value`` as an int, be it Python's or NumPy's.

    ``ConfigError`` unless it is a whole number of at least ``least``; ``what`` names it there.
    """
    if not isinstance(value, bool):
        try:
            number = index(value)  # type: ignore[arg-type]
        except TypeError:
            number = least - 1
        if number >= least:
            return number
    raise ConfigError(f"{what} must be a whole number of at least {least}, not {value!r}")


def require_instance(value: object, kind: type, name: str, example: str) -> None:
    """``ConfigError`` unless ``value``, the argument called ``name``, is an object of ``kind``."""
    if isinstance(value, kind):
        return
    what, remedy = reprlib.repr(value), f", such as {example}"
    if isinstance(value, type):
        what = f"the class {value.__name__}"
        if issubclass(value, kind):
            remedy = f": write {value.__name__}(…)"
    article = "an" if kind.__name__[0] in "AEIO" else "a"
    raise ConfigError(f"{name} is {what}, but it must be {article} {kind.__name__}{remedy}")


def value_is_lost(method: Callable[..., object], statement: str) -> str:
    """What is wrong with a method that returns a value, and the statement to write instead."""
    return (
        f"{method.__qualname__} returns a value, which is lost: write it into the buffer that was "
        f"handed in, {statement}, and return nothing"
    )


def call_writer(method: Callable[..., object], statement: str, *args: object) -> None:
    """``method(*args)``, which writes its results; ``ConfigError`` where it returns them instead.

    ``statement``: what to write in it instead.
    """
    if method(*args) is not None:
        raise ConfigError(value_is_lost(method, statement))


def why_not_imported(error: ImportError) -> str:
    """One sentence on a package that is missing, or that cannot be loaded."""
    while isinstance(error.__cause__, ImportError):  # the first reason, not what followed from it
        error = error.__cause__
    name = (error.name or "").partition(".")[0]
    package = {"sklearn": "scikit-learn", "PIL": "pillow"}.get(name, name)
    if isinstance(error, ModuleNotFoundError) and package not in ("", "scratchvae"):
        return f"the package {package} is not installed: pip install {package}"
    return f"a package cannot be loaded, memory is short or it is damaged: {error}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The words " Did you mean 'gluon'?" for "gloun", to follow a full stop; "" if none is near."""
    from difflib import get_close_matches  # only where something is wrong already

    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
