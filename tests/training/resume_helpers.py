"""What the tests of resuming need: kills, runs with snapshots, and what they leave.

A kill is an exception that no code catches, raised where a signal could arrive: what is on disk
then is what SIGKILL would leave. ``benchmarks.reliability.resumes`` sends real ones.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_helpers import leftovers, settings, tiny

from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.runs import RunFolder, Snapshots
from scratchvae.training import Progress, train
from scratchvae.training.step import TrainingStep


class Killed(BaseException):
    """No code catches it."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends when it would begin this step of the run."""
    call = TrainingStep.__call__

    def killed(self: TrainingStep, t: int, i: int, count: int = 1) -> None:
        if t == step:
            raise Killed
        call(self, t, i, count)

    monkeypatch.setattr(TrainingStep, "__call__", killed)


def kill_in(owner: Any, name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends at the ``count``-th call of a function, before the function does a thing."""
    function, calls = getattr(owner, name), []

    def killed(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == count:
            raise Killed
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, killed)


def run(
    folder: RunFolder,
    resume: bool = False,
    every: int = 0,
    progress: Progress | None = None,
    **more: Any,
) -> Any:
    """Train as the folder says, with snapshots."""
    config = folder.config()
    snapshots = Snapshots(tiny().test.values()[:3], config.epochs, folder.snapshots_path)
    if resume:
        snapshots.resume()
    bk = get_backend(more.pop("device", "cpu"), config.dtype)
    return train(
        config,
        tiny(),
        backend=bk,
        run=folder,
        progress=progress,
        on_epoch=snapshots,
        checkpoint_every=every,
        resume=resume,
        **more,
    )


def folder_of(path: Path, **changes: Any) -> RunFolder:
    config = settings(**({"epochs": 3} | changes))
    return RunFolder.create(path, {"config": config.to_json()})


def left(folder: RunFolder) -> dict[str, Any]:
    """What a run leaves, its numbers without their seconds."""
    files = {p.name: p.read_bytes() for p in folder.path.glob("*.npz") if p.name != "previous.npz"}
    lines = folder.metrics_path.read_text().splitlines()
    numbers = [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines]
    return files | {"metrics": numbers, "leftovers": leftovers(folder.path)}


def stopped(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: int = 7, **changes: Any
) -> RunFolder:
    folder = folder_of(path, **changes)
    with monkeypatch.context() as patch:
        kill_at(step, patch)
        with pytest.raises(Killed):
            run(folder, every=1)
    return folder


def change(folder: RunFolder, **changes: Any) -> TrainConfig:
    """Other settings, as ``--change-settings`` gives them."""
    config = replace(folder.config(), **changes)
    folder.pending = {"config": config.to_json()}
    return config
