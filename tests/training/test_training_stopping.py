"""When a training ends: patience, Ctrl-C, SIGTERM; and which checkpoint is left."""

import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from training_helpers import Recorder, after_steps, numbers, settings, tiny, trained

import scratchvae.training.loop as loop
from scratchvae.backend import get_backend
from scratchvae.data import Dataset
from scratchvae.runs import RunFolder
from scratchvae.training import prepare, train

# ---- validation and patience ------------------------------------------------------------------


def hills(monkeypatch, values: list[float]) -> None:
    """Make the loss on the validation split what a test says, epoch by epoch."""
    evaluate = loop.evaluate

    def scripted(model, split, seed, draw, **more):
        result = evaluate(model, split, seed=seed, draw=draw, **more)
        if len(split) == 5:
            object.__setattr__(result, "loss", values[draw - 1])
        return result

    monkeypatch.setattr(loop, "evaluate", scripted)


def test_the_best_checkpoint_is_that_of_the_best_epoch(tmp_path, monkeypatch) -> None:
    hills(monkeypatch, [9.0, 7.0, 7.0, 8.0, 7.5])
    config = settings(validation=5, epochs=5)
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    result = train(config, tiny(), backend=get_backend("cpu"), run=folder)
    assert (result.stopped, result.best_epoch) == ("completed", 2)
    assert [m["validation_loss"] for m in folder.metrics()] == [9.0, 7.0, 7.0, 8.0, 7.5]
    model, checkpoint = folder.load(get_backend("cpu"))
    assert checkpoint.epoch == 2
    held_out = prepare(config, tiny())
    shorter = Dataset("less", held_out.train, held_out.test, (3, 4))
    expected = after_steps(settings(), shorter, 2 * 3)  # 22 images: three steps per epoch
    for name, a in model.params.to_host().items():
        np.testing.assert_array_equal(a, expected[name], err_msg=name)


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 6), (3, 7), (0, 8)])
def test_training_stops_after_so_many_epochs_without_a_better_one(
    patience: int, epochs: int, monkeypatch
) -> None:
    hills(monkeypatch, [9.0, 8.0, 8.0, 7.0, 7.1, 7.2, 7.3, 7.4])
    result = trained(settings(validation=5, patience=patience, epochs=8))
    assert len(result.metrics) == epochs
    assert result.stopped == ("early" if patience else "completed")
    assert result.best_epoch == (2 if patience == 1 else 4)


def test_images_held_out_are_neither_trained_on_nor_lost() -> None:
    dataset = tiny()
    views = prepare(settings(validation=5), dataset)
    assert (len(views.train), len(views.validation), len(views.test)) == (22, 5, 10)
    rows = {image.tobytes() for image in dataset.train.images}
    kept = {image.tobytes() for image in views.train.images}
    held = {image.tobytes() for image in views.validation.images}
    assert kept | held == rows
    assert not kept & held


# ---- interruption -----------------------------------------------------------------------------


@pytest.fixture
def own_sigterm() -> Iterator[list[int]]:
    """What a program's own handler of SIGTERM hears; by default the signal ends the process."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_after_the_step_it_arrives_in(
    number: signal.Signals, own_sigterm, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "STEPS_UNSEEN", 1)
    steps: list[int] = []

    def advance(count: int, loss: float) -> None:
        steps.append(count)
        if len(steps) == 6:
            signal.raise_signal(number)

    config = settings(epochs=9)
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=r"the state is saved in .*checkpoint") as caught:
        train(config, tiny(), backend=get_backend("cpu"), run=folder, progress=Recorder(advance))
    assert signal.getsignal(number) is before
    assert own_sigterm == [number] * (number == signal.SIGTERM)
    assert str(caught.value).startswith(f"{number.name} ended the training: ")
    model, checkpoint = folder.load(get_backend("cpu"))
    assert (checkpoint.epoch, checkpoint.step) == (1, 7)
    assert [m["epoch"] for m in folder.metrics()] == [1]
    expected = after_steps(config, tiny(), 7)
    for name, a in model.params.to_host().items():
        np.testing.assert_array_equal(a, expected[name], err_msg=name)


@pytest.mark.parametrize("epoch", [2, 3])
def test_a_signal_between_two_epochs_or_after_the_last_is_obeyed_at_once(
    epoch: int, tmp_path
) -> None:
    config = settings(epochs=3)
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    progress = Recorder(epoch=lambda e: signal.raise_signal(signal.SIGINT) if e == epoch else None)
    result = train(
        config,
        tiny(),
        backend=get_backend("cpu"),
        run=folder,
        progress=progress,
        return_on_signal=True,
    )
    assert result.stopped == "SIGINT"
    assert len(folder.metrics()) == epoch
    _, checkpoint = folder.load(get_backend("cpu"))
    assert (checkpoint.epoch, checkpoint.step) == (epoch, 4 * epoch)


def test_without_a_folder_the_interruption_says_that_nothing_is_saved() -> None:
    progress = Recorder(epoch=lambda e: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="SIGINT ended the training: nothing is saved"):
        train(settings(), tiny(), backend=get_backend("cpu"), progress=progress)


def test_a_signal_that_the_program_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        progress = Recorder(epoch=lambda e: signal.raise_signal(signal.SIGINT))
        result = train(settings(), tiny(), backend=get_backend("cpu"), progress=progress)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.stopped == "completed"


def test_asking_twice_stops_at_once_and_leaves_the_last_checkpoint(tmp_path) -> None:
    def twice(epoch: int) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    config = settings()
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(
            config, tiny(), backend=get_backend("cpu"), run=folder, progress=Recorder(epoch=twice)
        )
    assert signal.getsignal(signal.SIGINT) is before
    assert folder.load(get_backend("cpu"))[1].epoch == 1


def test_training_works_in_a_thread_that_may_not_handle_signals() -> None:
    results: list[object] = []

    def work() -> None:
        try:
            results.append(numbers(trained(settings())))
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [numbers(trained(settings()))]
