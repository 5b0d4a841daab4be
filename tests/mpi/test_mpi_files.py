"""Ranks on data that stay in files: the bits of one process, and no rank reads all of them."""

from pathlib import Path

import numpy as np
import pytest
from jobs import PROGRAM, checkpoint, finish, join, launch, run

pytestmark = pytest.mark.mpi
TRAIN = ("train", "--data", "shards/*.npy", "--hidden", "16", "--no-figures", "--no-compiled")
EPOCHS = ("--batch-size", "50", "--pieces", "4", "--epochs", "2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the data in it, in three files."""
    make_shards(tmp_path)
    return tmp_path


def make_shards(folder: Path, seed: int = 0) -> None:
    (folder / "shards").mkdir(parents=True)
    images = np.random.default_rng(seed).integers(0, 256, (255, 8, 8), dtype=np.uint8)
    for k, part in enumerate(np.split(images, (100, 130))):
        np.save(folder / "shards" / f"{k}.npy", part)


def test_the_bits_do_not_depend_on_the_number_of_ranks(folder):
    found = {}
    for ranks in (1, 2, 4):
        code, _, err = run(ranks, *TRAIN, *EPOCHS, "--out", f"r{ranks}", cwd=folder)
        assert code == 0, err
        found[ranks] = checkpoint(folder / f"r{ranks}")
    assert len(set(found.values())) == 1


def test_a_rank_reads_its_rows_and_a_sample(folder):
    counting = folder / "sitecustomize.py"  # which every Python process imports
    counting.write_text(
        "import atexit, os\n"
        "from scratchvae.data import mapped\n"
        "read, rows = mapped.FileRows.read, [0]\n"
        "def count(self, index):\n"
        "    rows[0] += len(index)\n"
        "    return read(self, index)\n"
        "mapped.FileRows.read = count\n"
        "place = os.environ.get('PMI_RANK')\n"
        "atexit.register(lambda: open(f'rows{place}-{rows[0]}', 'w').close())\n"
    )
    path = {"PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"}
    words = (*TRAIN, "--batch-size", "46", "--pieces", "2", "--epochs", "2", "--out", "run")
    code, _, err = run(2, *words, cwd=folder, **path)
    assert code == 0, err
    of_rank_1 = max(int(each.name.split("-")[1]) for each in folder.glob("rows1-*"))
    # Half of each of two epochs of 230 images; every image of the sample of both parts; and one
    # image for the colours of the figures.
    assert 230 <= of_rank_1 <= 230 + 255 + 10


def test_a_rank_with_another_file_is_named(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        make_shards(tmp_path / name, seed)
    train = [*PROGRAM, *TRAIN, "--out", "run"]
    code, _, err = finish(
        launch(join(["-wdir", str(tmp_path / name), *train] for name in "ab"), tmp_path)
    )
    assert code == 2
    assert "rank 1 on " in err
    assert "has other data than rank 0" in err


def test_a_rank_without_the_file_is_named(tmp_path):
    make_shards(tmp_path / "a")
    (tmp_path / "b").mkdir()
    train = [*PROGRAM, *TRAIN, "--out", "run"]
    code, _, err = finish(
        launch(join(["-wdir", str(tmp_path / name), *train] for name in "ab"), tmp_path)
    )
    assert code == 2
    assert "rank 1 on " in err
    assert "no such file" in err
