"""Ctrl-C between two steps, never in the middle of one."""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import NoReturn

Handler = Callable[[int, FrameType | None], object] | int | None  # of a signal

SIGNALS = {name: signal.Signals[name] for name in ("SIGINT", "SIGTERM")}


class Interruption:
    """While active, SIGINT and SIGTERM set ``requested``; a second raises KeyboardInterrupt.

    Signals that the program ignores stay ignored. Outside the main thread, which alone may set
    handlers, nothing changes.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._before: dict[signal.Signals, Handler] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for number in SIGNALS.values():
                handler = signal.getsignal(number)
                if handler not in (None, signal.SIG_IGN):  # None: set by other than Python code
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number)


def interrupt(name: str, message: str) -> NoReturn:
    """Do what the signal would have done without :class:`Interruption`.

    The program's handler receives it, and by default SIGTERM ends the process here. Otherwise
    raises ``KeyboardInterrupt`` with the message, not a subclass: only for the class itself does
    Python exit as if killed by SIGINT, which is what stops a shell's loop.
    """
    with suppress(KeyboardInterrupt):
        signal.raise_signal(SIGNALS[name])
    raise KeyboardInterrupt(message)
