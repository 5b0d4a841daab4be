"""What a person reads: text that is safe to show, on streams that may go away."""

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
    """A message on one line, its control characters as escapes, too long a one without its middle.

    At most ``LONGEST`` characters and the words that count those left out.
    """
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]} … ({len(text) - 2 * half} characters left out) … {text[-half:]}"
    return CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


class LastingStream:
    """A text stream that falls silent, instead of failing, once it cannot be written to.

    A reader that ends (``| head``), a closed stream, a terminal that hangs up: none of them is a
    reason to lose hours of training. With ``data``, for stdout, a full disk still is an error. No
    control character passes, but for newline, tab and carriage return.
    """

    def __init__(self, stream: TextIO | None, data: bool = False) -> None:
        self.stream, self.lost = stream, stream is None or stream.closed
        self._forgiven = BrokenPipeError if data else OSError

    def write(self, text: str) -> int:
        """Write, or don't."""
        self._attempt("write", BUT_LAYOUT.sub(_escape, text))
        return len(text)

    def flush(self) -> None:
        """Flush, or don't."""
        self._attempt("flush")

    @property
    def closed(self) -> bool:
        """Whether there is nothing to write to any more."""
        return self.lost

    def isatty(self) -> bool:
        """Whether a person watches."""
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
    """Make stdout and stderr of this process :class:`LastingStream`, also where they are closed.

    No file that is opened later takes the number of a closed one, lest it be written into.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdout is not None:  # a stream that cannot show a ± or a β shows an escape
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout = LastingStream(sys.stdout, data=True)
    sys.stderr = LastingStream(sys.stderr)


def abandon_lost_streams() -> None:
    """Let Python's last flush of a stream whose reader has gone end nowhere, not in an error."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if isinstance(stream, LastingStream) and stream.lost:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
