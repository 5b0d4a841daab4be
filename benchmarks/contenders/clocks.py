"""How a contender's steps are timed: by the wall, or by the events of a GPU."""

import importlib
import time
from typing import Any


class Wall:
    """Seconds by the host's clock, from its making on. The contender waits for its results."""

    def __init__(self) -> None:
        self.started = time.perf_counter()

    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self.started


class TorchEvents:
    """Seconds between two events in PyTorch's current stream."""

    def __init__(self) -> None:
        self.cuda = importlib.import_module("torch").cuda
        self.begin, self.end = (self.cuda.Event(enable_timing=True) for _ in range(2))
        self.begin.record()

    def seconds(self) -> float:
        """Until all that was asked of the device is done."""
        self.end.record()
        self.end.synchronize()
        return float(self.begin.elapsed_time(self.end)) / 1e3


class CupyEvents:
    """Seconds between two events in CuPy's current stream."""

    def __init__(self) -> None:
        self.cuda = importlib.import_module("cupy").cuda
        self.begin, self.end = self.cuda.Event(), self.cuda.Event()
        self.begin.record()

    def seconds(self) -> float:
        """Until all that was asked of the device is done."""
        self.end.record()
        self.end.synchronize()
        return float(self.cuda.get_elapsed_time(self.begin, self.end)) / 1e3


def clock_of(device: str, library: str) -> Any:
    """The class of clocks for a library's work on a device."""
    if device != "cuda":
        return Wall
    return {"torch": TorchEvents, "cupy": CupyEvents}[library]
