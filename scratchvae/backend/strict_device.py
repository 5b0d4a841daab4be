"""The counters and the recorder of the strict device.

A recording works like a CUDA graph: while it is made, nothing is computed; every call of the device
is stored with its arrays and with the current values of the host's numbers. When it is replayed,
the same calls run on the same memory, and later changes of the host's variables have no effect.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from scratchvae.errors import ScratchVAEError

Launch = Callable[[], object]  # a call of the device with its arguments


BELOW = {Path(__file__).parent, Path(np.__file__).parent}  # what others call the device through


class CaptureError(ScratchVAEError, RuntimeError):
    """A captured step allocated memory or waited for the device."""


class TransferError(ScratchVAEError, TypeError):
    """A host array met a device array, or one would have silently become the other."""


def caller() -> str:
    """The method and line that called the device: "Swish.forward (swish.py, line 12)"."""
    frame = sys._getframe()
    while frame.f_back is not None and BELOW & {*Path(frame.f_code.co_filename).parents}:
        frame = frame.f_back
    code = frame.f_code
    return f"{code.co_qualname} ({Path(code.co_filename).name}, line {frame.f_lineno})"


class Device:
    """Counts allocations and waits, and makes them an error while a step is recorded."""

    def __init__(self) -> None:
        self.allocations = 0
        self.synchronizations = 0
        self.recording: list[Launch] | None = None
        self.underway: list[Launch] = []  # ends of copies that nothing has waited for

    def allocated(self, shape: tuple[int, ...]) -> None:
        self.allocations += 1
        if self.recording is not None:
            raise CaptureError(
                f"{caller()}: an array of shape {shape} was allocated inside a captured step; "
                "write into a buffer that is handed in, with out= or +="
            )

    def synchronized(self, what: str) -> None:
        self.synchronizations += 1
        if self.recording is not None:
            raise CaptureError(
                f"{caller()}: {what} waits for the device inside a captured step; "
                "compute on the device, and read the result after the step"
            )
        done, self.underway = self.underway, []
        for end in done:
            end()

    def launch(self, call: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Run a call that writes to memory of the device; while recording, store it instead."""
        if self.recording is None:
            call(*args, **kwargs)
        else:
            self.recording.append(lambda: call(*args, **kwargs))

    @contextmanager
    def capture(self) -> Iterator[list[Launch]]:
        """Record instead of computing; yields the list that the launches are appended to."""
        launches: list[Launch] = []
        self.recording = launches
        try:
            yield launches
        finally:
            self.recording = None
