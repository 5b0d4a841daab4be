"""Errors that a person can act on: what was wrong, where, what was expected, what to do.

One type per kind of trouble. The command line prints the sentence and exits with 2; a traceback
is never the answer to a user's mistake.
"""

from typing import Any


class ScratchVAEError(Exception):
    """The base of every error that this package raises on purpose."""

    exit_code = 2  # of the command line


class ConfigError(ScratchVAEError, ValueError):
    """A setting, an argument or a combination of them that cannot be."""


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
    """A replay file that cannot be read, is damaged, or is none."""


class NonFiniteError(ScratchVAEError, ArithmeticError):
    """An infinity or NaN appeared while training; the message names where it appeared first.

    ``replay`` holds the step it appeared in (``training.replay.Replay``), where there is one.
    """

    replay: Any = None
