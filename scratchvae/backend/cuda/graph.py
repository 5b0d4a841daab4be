"""Steps recorded as a CUDA graph."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from scratchvae.errors import DeviceError


class Recorded:
    """``times`` steps as one graph, launched on CuPy's current stream.

    The first call runs the steps as they are: whatever is compiled or loaded at its first use is
    there then. The second call records them, and repeats the recording from there on. While
    recording, nothing may be allocated and nobody may wait: an error says so.
    """

    def __init__(self, xp: Any, stream: Any, step: Callable[[], None], times: int) -> None:
        self.xp, self.times = xp, times
        self.stream = stream  # where the recording is made, and nothing runs
        self.step = step  # it holds the arrays, which must live as long as the graph
        self.warm = False
        self.graph: Any = None

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

    def _record(self) -> Any:
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


def _refuse(size: int) -> Any:
    raise DeviceError(f"{size} bytes were allocated inside a captured step")
