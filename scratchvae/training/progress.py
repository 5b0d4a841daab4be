"""The progress of a training: a bar in a terminal or notebook, lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TextIO

from scratchvae.training.output import LastingStream, printable
from scratchvae.types import JsonView

LINE_SECONDS = 30.0  # a pipe hears of a long epoch at least this often
DRAW_SECONDS = 0.1  # a bar is drawn at most this often
COLUMNS = 80  # of a notebook, and of a terminal that does not say how wide it is


Stream = TextIO | LastingStream


class Progress:
    """Reports nothing; the base class of everything that reports the progress of a training."""

    def start(self, epochs: int, steps_per_epoch: int, begun: int = 0) -> None:
        """Called when training starts, or resumes after ``begun`` steps of the run."""

    def advance(self, steps: int, loss: float) -> None:
        """Called after ``steps`` more steps; ``loss`` is their mean, in nats per image."""

    def epoch(self, metrics: JsonView) -> None:
        """Called after an epoch, with its ``metrics``."""

    def note(self, text: str) -> None:
        """Called with a sentence that a person should read."""

    def stop(self) -> None:
        """Called when training ends, for any reason."""


def line(metrics: JsonView, epochs: int) -> str:
    """The metrics of one epoch as a line of text."""
    text = (
        f"epoch {metrics['epoch']:>{len(str(epochs))}}/{epochs}  "
        f"train {metrics['train_loss']:8.3f}  "
    )
    if "test_loss" in metrics:
        text += (
            f"test {metrics['test_loss']:8.3f} nats (reconstruction "
            f"{metrics['test_reconstruction']:.3f}, KL {metrics['test_kl']:.3f})  "
        )
    text += f"{metrics['seconds']:.1f} s"
    if "validation_loss" in metrics:
        text += f"  validation {metrics['validation_loss']:.3f}"
    return text


class _Counting(Progress):
    """Keeps count of epochs and steps for those that write to a stream."""

    def __init__(self, stream: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.epochs, self.steps_per_epoch = 0, 1
        self.begun = self.done = 0  # steps of the whole run: before this process, and by now
        self.started = self.shown_at = 0.0  # by the clock
        self.running = False

    def start(self, epochs: int, steps_per_epoch: int, begun: int = 0) -> None:
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.begun = self.done = begun
        self.started = self.shown_at = self.clock()
        self.running = True

    def advance(self, steps: int, loss: float) -> None:
        self.done += steps


class Lines(_Counting):
    """A plain line per epoch, and one every 30 s within a long epoch: for logs and pipes."""

    def advance(self, steps: int, loss: float) -> None:
        super().advance(steps, loss)
        within = self.done % self.steps_per_epoch  # 0: the line of the epoch itself comes next
        if within and self.clock() - self.shown_at >= LINE_SECONDS:
            self._print(
                f"epoch {self.done // self.steps_per_epoch + 1:>{len(str(self.epochs))}}"
                f"/{self.epochs}  step {within} of {self.steps_per_epoch}  train {loss:.3f} nats"
            )

    def epoch(self, metrics: JsonView) -> None:
        self._print(line(metrics, self.epochs))

    def note(self, text: str) -> None:
        self._print(printable(text))

    def _print(self, text: str) -> None:
        print(text, file=self.stream, flush=True)
        self.shown_at = self.clock()


class Bar(_Counting):
    """One line that rewrites itself: epoch, latest losses, and more if the width allows."""

    def __init__(
        self,
        stream: Stream,
        clock: Callable[[], float] = time.monotonic,
        columns: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(stream, clock)
        self.columns = columns or partial(_columns, stream)
        self.losses: dict[str, float] = {}
        self.width = 0  # of the line that stands there
        self.fill = "█" if _can_show(stream, "█") else "#"

    def start(self, epochs: int, steps_per_epoch: int, begun: int = 0) -> None:
        super().start(epochs, steps_per_epoch, begun)
        self._draw()

    def advance(self, steps: int, loss: float) -> None:
        super().advance(steps, loss)
        self.losses["train"] = loss
        if self.clock() - self.shown_at >= DRAW_SECONDS:
            self._draw()

    def epoch(self, metrics: JsonView) -> None:
        if "test_loss" in metrics:
            self.losses["test"] = metrics["test_loss"]
        self._draw()

    def note(self, text: str) -> None:
        print("\r" + printable(text).ljust(self.width), file=self.stream, flush=True)
        self.width = 0
        if self.running:
            self._draw()

    def stop(self) -> None:
        if self.running:
            self._draw()
            print(file=self.stream, flush=True)
            self.running = False

    def text(self, columns: int) -> str:
        """The line for a terminal of ``columns`` columns: the losses first, the bar last."""
        total = max(1, self.epochs * self.steps_per_epoch)
        epoch = min(self.done // self.steps_per_epoch + 1, self.epochs)
        text = f"epoch {epoch}/{self.epochs}"
        for name, loss in self.losses.items():
            text += f"  {name} {loss:.2f}"
        if self.losses:
            text += " nats"
        for more in self._details(total):
            if len(text) + 2 + len(more) < columns:
                text += f"  {more}"
        room = columns - len(text) - 5  # two spaces, two ends, and the cursor
        if room >= 10:
            filled = room * self.done // total
            text += f"  |{self.fill * filled}{' ' * (room - filled)}|"
        return text[: columns - 1]

    def _details(self, total: int) -> list[str]:
        """What is shown beside the losses where there is room, the most useful first."""
        details = [f"{100 * self.done // total}%"]
        elapsed, steps = self.clock() - self.started, self.done - self.begun
        if steps and elapsed > 0:
            left = elapsed * (total - self.done) / steps
            details.append(f"{_duration(left)} left" if left else _duration(elapsed))
        details.append(f"step {self.done}/{total}")
        if steps and elapsed > 0:
            details.append(f"{steps / elapsed:.0f} steps/s")
        return details

    def _draw(self) -> None:
        text = self.text(self.columns())
        self.stream.write("\r" + text.ljust(self.width))
        self.stream.flush()
        self.width, self.shown_at = len(text), self.clock()


def _duration(seconds: float) -> str:
    """1:05 or 2:01:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _columns(stream: Stream) -> int:
    """How wide the terminal is; ``COLUMNS`` where a notebook or terminal does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS
    except (OSError, ValueError):
        return COLUMNS


def _can_show(stream: Stream, sign: str) -> bool:
    try:
        sign.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def in_notebook() -> bool:
    """Whether this process is the kernel of a Jupyter notebook."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def choose_progress(*, verbose: bool | None = None, stream: TextIO | None = None) -> Progress:
    """A bar in a terminal or a notebook; elsewhere lines if ``verbose``, otherwise nothing.

    ``verbose``: True for a bar or lines; False for nothing; None, the default of :func:`train`,
    for a bar in a terminal or notebook and nothing in a file or pipe. ``stream``: stderr unless
    given.
    """
    lasting = LastingStream(sys.stderr if stream is None else stream)
    if verbose is False or lasting.lost:
        return Progress()
    if lasting.isatty() or in_notebook():
        return Bar(lasting)
    return Lines(lasting) if verbose else Progress()
