"""What the strict device counts and records.

A recording works as a CUDA graph does: while it is made, nothing is computed; every call of the
device is noted, with its arrays and with the host's numbers as they are. Replayed, the same calls
run on the same memory, whatever the host's variables say by then.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class CaptureError(RuntimeError):
    """A captured step allocated memory or waited for the device."""


class Device:
    """Counts allocations and waits, and makes them an error while a step is recorded."""

    def __init__(self) -> None:
        self.allocations = 0
        self.synchronizations = 0
        self.recording: list[Callable[[], Any]] | None = None

    def allocated(self, shape: tuple[int, ...]) -> None:
        self.allocations += 1
        if self.recording is not None:
            raise CaptureError(f"an array of shape {shape} was allocated inside a captured step")

    def synchronized(self, what: str) -> None:
        self.synchronizations += 1
        if self.recording is not None:
            raise CaptureError(f"{what} waits for the device inside a captured step")

    def launch(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run a call that writes to memory of the device; while recording, note it instead."""
        if self.recording is None:
            call(*args, **kwargs)
        else:
            self.recording.append(lambda: call(*args, **kwargs))

    @contextmanager
    def capture(self) -> Iterator[list[Callable[[], Any]]]:
        """Record instead of computing; the launches, in order, are what it yields."""
        launches: list[Callable[[], Any]] = []
        self.recording = launches
        try:
            yield launches
        finally:
            self.recording = None
