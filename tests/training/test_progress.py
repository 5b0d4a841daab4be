"""What a person sees while a model trains: in a terminal of any width, in a notebook, in a pipe."""

import io
import sys
from types import SimpleNamespace

import pytest
from training_helpers import settings, tiny

from scratchvae.backend import get_backend
from scratchvae.training import Progress, choose_progress, train
from scratchvae.training.progress import LINE_SECONDS, Bar, Lines

METRICS = {
    "epoch": 3, "train_loss": 131.25, "test_loss": 127.5, "test_reconstruction": 120.0,
    "test_kl": 7.5, "seconds": 1.25,
}  # fmt: skip


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def bar_after(steps: int, columns: int) -> tuple[Bar, Clock]:
    """A bar after 3 of 12 epochs of 600 steps and ``steps`` more, 300 steps per second."""
    clock = Clock()
    bar = Bar(Terminal(), clock, lambda: columns)
    bar.start(12, 600, begun=1200)
    clock.now = (600 + steps) / 300
    bar.advance(600, 131.25)
    bar.epoch(METRICS)
    bar.advance(steps, 128.375)
    return bar, clock


@pytest.mark.parametrize("columns", [40, 50, 60, 80, 100, 200])
def test_both_losses_stay_however_narrow_the_terminal(columns: int) -> None:
    bar, _ = bar_after(300, columns)
    text = bar.text(columns)
    assert text.startswith("epoch 4/12  train 128.38  test 127.50 n")
    assert len(text) < columns


def test_a_wide_terminal_shows_share_time_steps_and_rate_too() -> None:
    """2,100 of 7,200 steps are done, 900 of them in 3 s: 5,100 more take 17 s."""
    bar, _ = bar_after(300, 120)
    text = bar.text(120)
    assert "  29%  0:17 left  step 2100/7200  300 steps/s  |█" in text
    blocks = text.partition("|")[2].rstrip("|")
    assert blocks.count("█") == len(blocks) * 2100 // 7200


def test_a_bar_ends_complete_and_leaves_its_line() -> None:
    bar, clock = bar_after(0, 100)
    clock.now = 20.0
    bar.advance(7200 - 1800, 120.0)
    bar.stop()
    bar.stop()  # once more says nothing
    last = bar.stream.getvalue().rpartition("\r")[2]
    assert last.startswith("epoch 12/12  train 120.00  test 127.50 nats  100%  0:20")
    assert last.count("\n") == 1


def test_a_note_takes_the_place_of_the_bar_which_follows_it() -> None:
    bar, _ = bar_after(300, 60)
    bar.note("a worker ended")
    *_, note, after = bar.stream.getvalue().split("\r")
    assert note.rstrip() == "a worker ended"
    assert note.endswith("\n")
    assert after.startswith("epoch 4/12")


def test_a_terminal_that_cannot_show_a_block_gets_a_sign_of_ascii() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    bar = Bar(stream, Clock(), lambda: 100)
    bar.start(1, 2)
    bar.advance(1, 1.0)
    assert "|####" in bar.text(100)


@pytest.mark.parametrize("nonsense", ["abc", "-1", "nan"])
def test_variables_of_other_progress_bars_change_nothing(monkeypatch, nonsense) -> None:
    for name in ("TQDM_MININTERVAL", "TQDM_NCOLS", "TQDM_DISABLE"):
        monkeypatch.setenv(name, nonsense)
    stream = Terminal()
    progress = choose_progress(stream=stream)
    train(settings(epochs=2), tiny(), backend=get_backend("cpu"), progress=progress)
    assert "epoch 2/2  train" in stream.getvalue()


# ---- pipes ------------------------------------------------------------------------------------


def test_a_long_epoch_in_a_pipe_says_a_line_now_and_then() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = Lines(stream, clock)
    lines.start(20, 600)
    for _ in range(6):  # an epoch of six minutes
        clock.now += 60.0
        lines.advance(100, 200.0 - clock.now / 60)
    lines.epoch(METRICS | {"epoch": 1})
    seen = stream.getvalue().splitlines()
    assert seen[0] == "epoch  1/20  step 100 of 600  train 199.000 nats"
    assert [line.split()[3] for line in seen[:-1]] == ["100", "200", "300", "400", "500"]
    assert seen[-1].startswith("epoch  1/20  train  131.250  test  127.500 nats")


def test_short_epochs_in_a_pipe_are_a_line_each() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = Lines(stream, clock)
    lines.start(12, 2)
    for epoch in range(1, 13):
        clock.now += 0.6 * LINE_SECONDS
        lines.advance(1, 1.0)
        lines.advance(1, 1.0)
        lines.epoch(METRICS | {"epoch": epoch})
    assert len(stream.getvalue().splitlines()) == 12


# ---- who sees what ----------------------------------------------------------------------------


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython, as it is imported in the kernel of a notebook."""
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


@pytest.mark.parametrize(
    ("verbose", "terminal", "pipe"),
    [(None, Bar, Progress), (True, Bar, Lines), (False, Progress, Progress)],
)
def test_progress_is_a_bar_where_a_person_watches(verbose, terminal, pipe) -> None:
    assert type(choose_progress(verbose=verbose, stream=Terminal())) is terminal
    assert type(choose_progress(verbose=verbose, stream=io.StringIO())) is pipe


@pytest.mark.usefixtures("notebook")
def test_a_notebook_shows_the_bar() -> None:
    stream = io.StringIO()
    progress = choose_progress(stream=stream)
    assert type(progress) is Bar
    progress.start(1, 10)
    progress.advance(5, 12.5)
    progress.stop()
    last = stream.getvalue().rpartition("\r")[2]
    assert last.startswith("epoch 1/1  train 12.50 nats  50%")
    assert len(last) <= 80


def test_ipython_in_a_terminal_is_a_terminal(monkeypatch) -> None:
    shell = SimpleNamespace(config={})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert type(choose_progress(stream=io.StringIO())) is Progress


def test_a_process_without_a_stderr_reports_nothing(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert type(choose_progress(verbose=True)) is Progress


def test_train_shows_a_bar_in_a_terminal_and_nothing_in_a_pipe(monkeypatch, capsys) -> None:
    train(settings(epochs=1), tiny(), backend=get_backend("cpu"))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stderr", Terminal())
    train(settings(epochs=1), tiny(), backend=get_backend("cpu"))
    assert "epoch 1/1  train" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", Terminal())
    train(settings(epochs=1), tiny(), backend=get_backend("cpu"), verbose=False)
    assert sys.stderr.getvalue() == ""
