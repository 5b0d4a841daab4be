"""What a person sees while a model trains: a bar on a terminal, a line per epoch elsewhere."""

import os
import sys
from typing import Any, TextIO

from scratchvae.training.streams import LastingStream, printable
from scratchvae.types import JsonView


class Progress:
    """Reports nothing; the base of those that do."""

    def start(self, epochs: int, steps_per_epoch: int, begun: int = 0) -> None:
        """Training begins, or goes on after the steps ``begun`` already."""

    def advance(self, steps: int, loss: float) -> None:
        """So many steps more; ``loss`` is the mean over the latest of them."""

    def epoch(self, metrics: JsonView) -> None:
        """An epoch has been completed."""

    def note(self, text: str) -> None:
        """Something a person should know."""

    def stop(self) -> None:
        """Training is over, for whatever reason."""


def line(metrics: JsonView, epochs: int) -> str:
    """One epoch in words."""
    text = (
        f"epoch {metrics['epoch']:>{len(str(epochs))}}/{epochs}  "
        f"train {metrics['train_loss']:8.3f}  test {metrics['test_loss']:8.3f} nats "
        f"(reconstruction {metrics['test_reconstruction']:.3f}, KL {metrics['test_kl']:.3f})  "
        f"{metrics['seconds']:.1f} s"
    )
    if "validation_loss" in metrics:
        text += f"  validation {metrics['validation_loss']:.3f}"
    return text


class Lines(Progress):
    """A plain line per epoch, for logs and pipes."""

    def __init__(self, stream: TextIO | LastingStream) -> None:
        self.stream = stream
        self.epochs = 0

    def start(self, epochs: int, steps_per_epoch: int, begun: int = 0) -> None:
        self.epochs = epochs

    def epoch(self, metrics: JsonView) -> None:
        print(line(metrics, self.epochs), file=self.stream, flush=True)

    def note(self, text: str) -> None:
        print(printable(text), file=self.stream, flush=True)


class Bar(Progress):
    """tqdm's bar over all steps, with the latest losses beside it."""

    def __init__(self, stream: TextIO | LastingStream) -> None:
        self.stream = stream
        self.bar: Any = None
        self.shown: dict[str, str] = {}

    def start(self, epochs: int, steps_per_epoch: int, begun: int = 0) -> None:
        tqdm = load_tqdm()
        self.epochs = epochs
        sized = _columns(self.stream) > 0
        self.bar = tqdm(
            total=epochs * steps_per_epoch,
            initial=begun,
            file=self.stream,
            unit="step",
            dynamic_ncols=sized,
            ncols=None if sized else 80,  # on a terminal without a size tqdm would draw nothing
            nrows=None if sized else 24,
            desc=f"epoch {min(begun // steps_per_epoch + 1, epochs)}/{epochs}",
        )

    def advance(self, steps: int, loss: float) -> None:
        self.shown["train"] = f"{loss:.2f}"
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(steps)

    def epoch(self, metrics: JsonView) -> None:
        self.shown["test"] = f"{metrics['test_loss']:.2f}"
        following = min(metrics["epoch"] + 1, self.epochs)
        self.bar.set_description(f"epoch {following}/{self.epochs}", refresh=False)
        self.bar.set_postfix(self.shown, refresh=True)

    def note(self, text: str) -> None:
        if self.bar is None:
            print(printable(text), file=self.stream, flush=True)
        else:
            self.bar.write(printable(text), file=self.stream)

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.close()


def load_tqdm() -> Any:
    """tqdm's bar without the defaults that it takes from variables TQDM_…, and doesn't check.

    It reads them while it is imported.
    """
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("TQDM_")}
    try:
        from tqdm import tqdm
    finally:
        os.environ.update(kept)
    return tqdm


def _columns(stream: TextIO | LastingStream) -> int:
    """How wide the terminal says it is; 0 where it does not."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def choose_progress(quiet: bool, stream: TextIO | None = None) -> Progress:
    """A bar where a person watches, lines where a file or a pipe does, nothing when quiet."""
    if quiet:
        return Progress()
    lasting = LastingStream(sys.stderr if stream is None else stream)
    return Bar(lasting) if lasting.isatty() else Lines(lasting)
