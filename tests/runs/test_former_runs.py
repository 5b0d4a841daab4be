"""A run that an earlier version was training when it was interrupted: it is read and goes on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.cli.main import main
from scratchvae.runs import RunFolder, Snapshots, verify_run

# After 5 of 12 steps; its settings have the names of then. whole.jsonl: the epochs of a run of the
# same settings that nothing interrupted.
FROZEN = Path(__file__).parent / "data" / "before-renames"


@pytest.fixture
def former(tmp_path: Path, monkeypatch) -> RunFolder:
    shutil.copytree(FROZEN, tmp_path / "run")
    (tmp_path / "run" / "whole.jsonl").unlink()
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "tiny.npz",
        x_train=rng.integers(0, 256, (27, 3, 4), dtype=np.uint8),
        x_test=rng.integers(0, 256, (10, 3, 4), dtype=np.uint8),
        y_train=np.arange(27) % 10,
        y_test=np.arange(10),
    )
    monkeypatch.chdir(tmp_path)
    return RunFolder.open(Path("run"))


def test_every_file_of_a_former_run_is_read_and_whole(former: RunFolder) -> None:
    report = verify_run(former)
    assert report.damage == []
    assert set(report.files) == {
        "config.json", "metrics.jsonl", "checkpoint.npz", "best.npz", "film.npz",
    }  # fmt: skip
    snapshots = Snapshots.load(former.snapshots_path)
    assert snapshots is not None
    assert snapshots.epochs == [1]
    model, checkpoint = former.load(get_backend("cpu"))
    assert (checkpoint.epoch, model.vae.latent_dim) == (1, 2)


def test_a_former_run_goes_on_to_the_numbers_that_it_would_have_had(former: RunFolder) -> None:
    """To the last bits of float32: another processor's BLAS adds in its own order."""
    assert main(["train", "--resume", "run", "--quiet", "--no-figures"]) == 0
    expected = [json.loads(line) for line in (FROZEN / "whole.jsonl").read_text().splitlines()]
    found = former.metrics()
    assert [line["epoch"] for line in found] == [1, 2, 3]
    for ours, its in zip(found, expected, strict=True):
        for name in set(its) - {"seconds"}:
            assert ours[name] == pytest.approx(its[name], rel=1e-5), name
    assert main(["evaluate", "run", "--quiet"]) == 0
    assert verify_run(former).damage == []


def test_the_report_of_a_former_run_is_written_when_it_is_drawn(former: RunFolder, monkeypatch):
    monkeypatch.setattr("scratchvae.figures.draw_run", lambda *args: [])  # what others test
    assert main(["plot", "run", "--quiet"]) == 0
    page = former.report_path.read_text(encoding="utf-8")
    (line,) = former.metrics()
    assert f"<b>{line['test_loss']:.2f}</b>" in page
    assert 'id="film"' not in page  # it kept no plane
