"""Ctrl-C and SIGTERM in a real process in the middle of its training."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_helpers import after_steps, leftovers, tiny

import scratchvae
from scratchvae.backend import get_backend
from scratchvae.runs import RunFolder

ROOT = str(Path(scratchvae.__file__).parents[1])


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A training of 30 steps per epoch that would go on for hours."""
    dataset = tiny(30)
    np.savez(folder / "tiny.npz", train=dataset.train.images, test=dataset.test.images)
    argv = ["train", "--data", "tiny.npz", "--hidden", "8", "--batch-size", "1", "--no-compiled"]
    argv += ["--epochs", "1000000", "--out", "run", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "scratchvae", *argv],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def goes_on_to_the_same_bytes(folder: Path, epochs: int) -> None:
    """Resumed for ``epochs`` epochs, the run ends as one that was not interrupted."""
    env, more = os.environ | {"PYTHONPATH": ROOT}, ["--epochs", str(epochs), "--no-figures"]
    command = [sys.executable, "-m", "scratchvae", "train"]
    new = ["--data", "tiny.npz", "--hidden", "8", "--batch-size", "1", "--out", "whole"]
    new.append("--no-compiled")
    for argv in (["--resume", "run", "--change-settings"], new):
        subprocess.run([*command, *argv, *more], cwd=folder, env=env, check=True)
    resumed, whole = (folder / name / "checkpoint.npz" for name in ("run", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_saves_as_many_steps_as_the_checkpoint_says(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with start(tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch       2/"):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "interrupted: the state is saved in run/checkpoint.npz" in err
    assert "Traceback" not in err
    assert "run: run" in out
    folder = RunFolder.open(tmp_path / "run")
    model, checkpoint = folder.load(get_backend("cpu"))
    assert checkpoint.epoch == len(folder.metrics()) >= 2
    assert 0 <= checkpoint.step - 30 * checkpoint.epoch <= 30
    expected = after_steps(folder.config(), tiny(30), checkpoint.step)
    for name, a in model.params.to_host().items():
        np.testing.assert_array_equal(a, expected[name], err_msg=name)
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "run" / "figures").exists()
    goes_on_to_the_same_bytes(tmp_path, checkpoint.epoch + 1)


def test_a_process_that_is_killed_leaves_a_run_that_loads(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch       3/"):
                break
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    folder = RunFolder.open(tmp_path / "run")
    _, checkpoint = folder.load(get_backend("cpu"))
    assert checkpoint.step == 30 * checkpoint.epoch
    assert 0 <= len(folder.metrics()) - checkpoint.epoch <= 1  # the metrics are written first
    goes_on_to_the_same_bytes(tmp_path, checkpoint.epoch + 2)


THREE = """
import signal, sys
sys.path.insert(0, {helpers!r})
from training_helpers import Recorder, settings, tiny
from scratchvae.training import train
for seed in range(3):
    print("training", seed, flush=True)
    once = lambda e: signal.raise_signal(signal.{signal}) if e == 2 else None
    train(settings(seed=seed, epochs=9), tiny(), progress=Recorder(epoch=once))
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, -15)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_a_program_of_several_trainings_as_it_would_any_other(
    number: signal.Signals, code: int
) -> None:
    program = THREE.format(helpers=str(Path(__file__).parent), signal=number.name)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (code, "training 0\n")
