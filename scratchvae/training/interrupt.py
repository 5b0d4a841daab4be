"""Ctrl-C between two steps, never in the middle of one."""

import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn

SIGNALS = {name: signal.Signals[name] for name in ("SIGINT", "SIGTERM")}


class Interruption:
    """While active, SIGINT and SIGTERM set ``requested``; a second one stops at once.

    A signal that the program ignores stays ignored.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

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

    It reaches the program's handler, and the default of SIGTERM ends the process here. Else
    ``KeyboardInterrupt`` with the message; not a class derived from it, for which Python wouldn't
    end as a program that Ctrl-C ends, so that a shell's loop would go on.
    """
    with suppress(KeyboardInterrupt):
        signal.raise_signal(SIGNALS[name])
    raise KeyboardInterrupt(message)
