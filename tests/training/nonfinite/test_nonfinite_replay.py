"""A training that stopped leaves a file from which its last step runs again, without its data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import leftovers, settings, tiny

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.errors import NonFiniteError
from scratchvae.latent import ESTIMATORS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.optim import SGD, BoundOptimizer
from scratchvae.runs import RunFolder
from scratchvae.training import train
from scratchvae.training.nonfinite.replay import FILE, Replay, leave_replay, load_replay
from scratchvae.training.nonfinite.report import ReplayReport, run_again
from scratchvae.training.prepared import epoch_order

WAYS: dict[str, dict[str, Any]] = {
    **{f"likelihood {name}": {"likelihood": name} for name in LIKELIHOODS},
    **{f"estimator {name}": {"estimator": name, "samples": 3} for name in ESTIMATORS},
    "free bits": {"free_bits": 0.1},
    "two workers": {"workers": 2},
    "dynamic": {"binarize": "dynamic"},
    "static": {"binarize": "static"},
    "float64": {"dtype": "float64", "lr": 1e200},
    "warm-up": {"kl_warmup": 5},
    "clipped by two workers": {"workers": 2, "clip": 1.0, "optimizer": "sgd", "lr": 1e36},
    "momentum": {"optimizer": "sgd", "lr": 1e36},
    "rmsprop": {"optimizer": "rmsprop"},
    "adagrad": {"optimizer": "adagrad"},
}


def stopped(
    folder: Path, config: TrainConfig, dataset: Dataset | None = None
) -> tuple[str, Replay, ReplayReport]:
    """A training that stops: its sentence, the file that it left, and what that says."""
    run = RunFolder.create(folder / "run", {"config": config.to_json()})
    with pytest.raises(NonFiniteError) as caught:
        train(config, dataset or tiny(), backend=get_backend("cpu", config.dtype), run=run)
    sentence, path = str(caught.value), folder / "run" / FILE
    assert sentence.endswith(f"; replay it with: scratchvae replay {path}")
    assert leftovers(folder) == []
    replay = load_replay(path)
    return sentence, replay, run_again(replay)


def poison_the_end(
    monkeypatch: pytest.MonkeyPatch, when: int, value: float, count: int = 4
) -> None:
    """From step ``when`` on, every update leaves ``value`` in decoder.2.b, the last parameter."""
    step = BoundOptimizer.step

    def poisoned(self: BoundOptimizer, t: int, part: int = 0, lr: float | None = None) -> None:
        step(self, t, part, lr)
        if t >= when and part + 1 == len(self.parts):
            self.parts[part][0][-4 - count : -4] = value  # 12 numbers and 4 that pad them

    monkeypatch.setattr(BoundOptimizer, "step", poisoned)  # in this process, which computes alone
    monkeypatch.setattr("scratchvae.training.step.cores", lambda: 1)


def agree(sentence: str, replay: Replay, report: ReplayReport) -> bool:
    assert report.first_nonfinite is not None
    return f"first appeared in {report.first_nonfinite.name}, at {replay.where};" in sentence


@pytest.mark.parametrize("way", WAYS)
def test_the_replay_finds_the_array_that_the_sentence_names(way: str, tmp_path) -> None:
    config = settings(**({"lr": 1e30, "epochs": 5} | WAYS[way]))
    sentence, replay, report = stopped(tmp_path, config)
    assert agree(sentence, replay, report)
    assert report.first_nonfinite.equations
    assert all(np.isfinite(s.largest) and not s.bad for s in report.native.before)
    assert (report.precise is None) == (config.dtype == "float64")
    json.dumps(report.to_json(), allow_nan=False)
    assert report.first_nonfinite.name in report.text()


def dataset_of(images: np.ndarray) -> Dataset:
    split = Split(images, None, None)
    return Dataset("floats", split, split, (3, 4))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("when", "rows"), [(9, 8), (11, 3)])
def test_the_file_holds_the_batch_and_the_noise_of_its_step(
    when: int, rows: int, workers: int, tmp_path, monkeypatch
) -> None:
    """Step 10 has 8 images, step 12 is the short one that ends an epoch."""
    poison_the_end(monkeypatch, when, 3e38)
    config = settings(epochs=4, workers=workers)
    sentence, replay, report = stopped(tmp_path, config)
    assert (replay.kind, replay.epoch, replay.step) == ("step", 3, when + 1)
    assert (replay.weight, replay.beta) == (1 / rows, 1.0)
    chosen = epoch_order(27, config.seed, 3, True)[8 * (when - 8) :][:rows]
    np.testing.assert_array_equal(replay.x, tiny().train.images[chosen].astype(np.float32) / 255)
    eps = normal((rows, 1, 2), Stream(config.seed, Purpose.LATENT, when + 1))
    np.testing.assert_array_equal(replay.eps, eps.astype(np.float32))
    assert agree(sentence, replay, report)
    assert report.first_nonfinite.name == "the reconstruction term"
    assert report.about_float64().startswith("in float64 every array is finite")
    assert "--dtype float64" in report.advice()


def test_binarized_pixels_are_kept_as_they_were_drawn(tmp_path) -> None:
    _, replay, _ = stopped(tmp_path, settings(lr=1e30, binarize="dynamic"))
    assert set(np.unique(replay.x)) == {0.0, 1.0}


@pytest.mark.parametrize("clip", [0.0, 100.0])
def test_an_update_that_overflows_is_replayed_from_its_gradient_and_moments(clip, tmp_path) -> None:
    config = settings(optimizer="sgd", lr=3e38, clip=clip, likelihood="gaussian", std=1e-2)
    sentence, replay, report = stopped(tmp_path, config)
    assert "after the update, at epoch 1, step 1 of it" in sentence
    assert agree(sentence, replay, report)
    assert replay.gradient is not None
    assert list(replay.moments) == list(SGD().moments)
    assert report.first_nonfinite.equations == ("E42",)
    assert report.first_nonfinite.place == "the update by sgd"
    assert "--clip" in report.advice()


def test_an_evaluation_is_replayed_with_the_analytic_kl(tmp_path) -> None:
    """One step an epoch: the update comes after the only loss that training computes."""
    config = settings(lr=1e30, batch_size=27, estimator="iwae", samples=2)
    sentence, replay, report = stopped(tmp_path, config)
    assert replay.kind == "evaluation"
    assert replay.where == "the test images after epoch 1 (step 1 of the run)"
    assert agree(sentence, replay, report)
    assert {"the cost of the samples"}.isdisjoint(s.name for s in report.native.records)
    assert replay.gradient is None


def test_parameters_that_are_no_numbers_are_named_as_what_the_step_began_with(
    tmp_path, monkeypatch
) -> None:
    poison_the_end(monkeypatch, 12, np.nan)  # the last step of an epoch
    sentence, replay, report = stopped(tmp_path, settings(epochs=4))
    assert "the test images after epoch 3" in sentence
    assert agree(sentence, replay, report)
    assert report.first_nonfinite.name == "decoder.2.b"
    assert np.isnan(report.first_nonfinite.value)
    assert report.advice().startswith("the update before this step wrote it")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_named(value: float, tmp_path) -> None:
    images = np.random.default_rng(0).random((27, 12), dtype=np.float32)
    config, dataset = settings(likelihood="gaussian", shuffle=False), dataset_of(images)
    dataset.train.images[20, 7] = value  # spoiled after the splits have been checked
    sentence, replay, report = stopped(tmp_path, config, dataset)
    assert agree(sentence, replay, report)
    assert (report.first_nonfinite.name, report.first_nonfinite.first) == (
        "the images",
        (4, 7),
    )
    assert report.first_nonfinite.bad == 1
    assert "image 4 of this batch" in report.advice()
    assert report.advice() in sentence
    assert "same array is the first" in report.about_float64()


def test_losses_that_only_their_sum_makes_infinite_are_named_so(tmp_path, monkeypatch) -> None:
    poison_the_end(monkeypatch, 9, 3e38, count=1)  # of one pixel; the mean would have room
    sentence, replay, report = stopped(tmp_path, settings(epochs=4))
    assert agree(sentence, replay, report)
    assert report.first_nonfinite.name == "the sum of the losses"
    assert report.native.before[-1].name == "the objective"
    assert report.native.before[-1].largest > 1e38
    assert report.about_float64().startswith("in float64 every array is finite")


def test_a_step_that_is_finite_this_time_is_said_to_be(tmp_path) -> None:
    _, replay, _ = stopped(tmp_path, settings(lr=1e30))
    tame = {name: np.zeros_like(a) for name, a in replay.params.items()}
    report = run_again(Replay(**(vars(replay) | {"params": tame})))
    assert report.first_nonfinite is None
    assert report.about_float64() == ""
    assert "every array is finite" in report.advice()
    assert "not finite" not in report.text()


def test_without_a_folder_there_is_no_file_and_no_hint() -> None:
    with pytest.raises(NonFiniteError) as caught:
        train(settings(lr=1e30), tiny(), backend=get_backend("cpu"))
    assert str(caught.value).endswith("or float64")
    assert isinstance(caught.value.replay, Replay)


def test_a_file_that_cannot_be_written_leaves_the_sentence_whole(tmp_path) -> None:
    with pytest.raises(NonFiniteError) as caught:
        train(settings(lr=1e30), tiny(), backend=get_backend("cpu"))
    named = leave_replay(caught.value, tmp_path / "nowhere")
    assert str(named).startswith(str(caught.value))
    assert "it can't be replayed" in str(named)
    assert "No such file or directory" in str(named)
    plain = NonFiniteError("a loss is not finite")
    assert leave_replay(plain, tmp_path) is plain
