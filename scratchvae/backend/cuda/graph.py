"""Steps recorded as a CUDA graph."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import NoReturn, Protocol

from scratchvae.backend.base import ArrayModule
from scratchvae.errors import DeviceError


class Graph(Protocol):
    """A CUDA graph of CuPy's."""

    def launch(self) -> None:
        """Run it on CuPy's current stream."""


class CudaStream(AbstractContextManager, Protocol):
    """A CUDA stream of CuPy's."""

    def begin_capture(self) -> None:
        """Record what is launched on this stream from now on."""

    def end_capture(self) -> Graph:
        """The recording."""


class Recorded:
    """``times`` steps as one graph, launched on CuPy's current stream.

    The first call runs the steps, so that everything compiled or loaded at first use is ready. The
    second call records them; it and all later calls launch the recording. Allocating memory or
    waiting for the device while recording is an error.
    """

    def __init__(
        self, xp: ArrayModule, stream: CudaStream, step: Callable[[], None], times: int
    ) -> None:
        self.xp, self.times = xp, times
        self.stream = stream  # where the recording is made, and nothing runs
        self.step = step  # it holds the arrays, which must live as long as the graph
        self.warm = False
        self.graph: Graph | None = None

    def __call__(self) -> None:
        """Repeat the steps."""
        if not self.warm:
            self._run()
            self.warm = True
            return
        if self.graph is None:
            self.graph = self._record()
        self.graph.launch()

    def _run(self) -> None:
        for _ in range(self.times):
            self.step()

    def _record(self) -> Graph:
        cuda, stream = self.xp.cuda, self.stream
        cuda.get_current_stream().synchronize()
        with stream, cuda.using_allocator(_refuse):
            stream.begin_capture()
            try:
                self._run()
            except BaseException:
                with suppress(Exception):  # leave the recording, and keep the first error
                    stream.end_capture()
                raise
            return stream.end_capture()


def _refuse(size: int) -> NoReturn:
    raise DeviceError(f"{size} bytes were allocated inside a captured step")
