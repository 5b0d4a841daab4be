"""Output for people: text that is safe to show, on streams that may go away."""

import os
import re
import sys
from typing import Any, TextIO

LONGEST = 1600  # characters of a message: it fits a screen of 80 × 24

# C0 and C1 controls, by which a file's name could command a terminal, and the marks that reorder
# or break a line of text.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
BUT_LAYOUT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A message as one line: control characters are escaped, and long text loses its middle.

    At most ``LONGEST`` characters remain, plus the words that count those left out.
    """
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]} … ({len(text) - 2 * half} characters left out) … {text[-half:]}"
    return CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


class LastingStream:
    """A text stream that falls silent, instead of failing, once it can no longer be written to.

    A reader that ends (``| head``), a closed stream or a terminal that hangs up must not cost
    hours of training. With ``data`` (stdout), a full disk is still an error. Control characters
    other than newline, tab and carriage return are escaped.
    """

    def __init__(self, stream: TextIO | None, data: bool = False) -> None:
        self.stream, self.lost = stream, stream is None or stream.closed
        self._forgiven = BrokenPipeError if data else OSError

    def write(self, text: str) -> int:
        """Write ``text``, or drop it if the stream is gone; returns its length."""
        self._attempt("write", BUT_LAYOUT.sub(_escape, text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream unless it is gone."""
        self._attempt("flush")

    @property
    def closed(self) -> bool:
        """Whether the stream is gone."""
        return self.lost

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return not self.lost and self.stream is not None and self.stream.isatty()

    def _attempt(self, method: str, *args: str) -> None:
        if self.lost:
            return
        try:
            getattr(self.stream, method)(*args)
        except self._forgiven:
            self.lost = True
        except ValueError:
            if self.stream is not None and not self.stream.closed:
                raise
            self.lost = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def make_streams_last() -> None:
    """Replace stdout and stderr by :class:`LastingStream`, even if they are closed.

    The file descriptors of closed streams are reserved, so that no file opened later gets one and
    is written into.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdout is not None:  # a stream that cannot show a ± or a β shows an escape
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout = LastingStream(sys.stdout, data=True)
    sys.stderr = LastingStream(sys.stderr)


def abandon_lost_streams() -> None:
    """Redirect streams whose reader has gone to nowhere, so that Python's final flush succeeds."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if isinstance(stream, LastingStream) and stream.lost:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
