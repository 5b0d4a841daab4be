"""Ranks that die, stop or differ: the whole job ends, soon, in a sentence, with whole files."""

import random
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from jobs import (
    PROGRAM,
    ROOT,
    SMALL,
    checkpoint,
    computing,
    finish,
    join,
    launch,
    run,
    send,
    start,
    wait_for,
)

pytestmark = pytest.mark.mpi
SOON = 10.0  # seconds
LONG_RUN = ("train", *SMALL, "--pieces", "4", "--epochs", "40", "--checkpoint-every", "3")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("uninterrupted")
    code, _, err = run(1, *LONG_RUN, "--out", "run", cwd=folder)
    assert code == 0, err
    return checkpoint(folder / "run")


def kill_and_resume(tmp_path: Path, seed: int) -> str:
    """Kill some rank of two or three at some moment, resume with one more; the checkpoint."""
    chosen = random.Random(seed)
    ranks = chosen.choice((2, 3))
    victim = chosen.randrange(ranks)
    job = start(ranks, *LONG_RUN, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "checkpoint.npz", job)
    time.sleep(chosen.uniform(0, 0.3))
    killed = send(job, victim, signal.SIGKILL)
    code, _, err = finish(job)
    assert time.monotonic() - killed < SOON
    assert code == 2
    assert f"scratchvae: rank {victim} " in err
    assert computing(job) == {}
    code, _, err = run(ranks + 1, "train", "--resume", "run", "--quiet", cwd=tmp_path)
    assert code == 0, err
    return checkpoint(tmp_path / "run")


@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(k, marks=pytest.mark.long) for k in range(3, 20))]
)
def test_a_killed_rank_ends_the_job_and_more_ranks_resume_it_to_the_same_bits(
    uninterrupted, seed, tmp_path
):
    assert kill_and_resume(tmp_path, seed) == uninterrupted


@pytest.mark.parametrize("rank", [1, pytest.param(0, marks=pytest.mark.long)])
def test_a_rank_that_stays_stopped_ends_the_job(rank, tmp_path):
    job = start(2, *LONG_RUN, "--epochs", "9999", "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "checkpoint.npz", job)
    stopped = send(job, rank, signal.SIGSTOP)
    code, _, err = finish(job)
    assert time.monotonic() - stopped < SOON
    assert code == 2
    assert f"scratchvae: rank {rank} " in err


def test_sigterm_saves_and_ends_all_ranks(tmp_path):
    job = start(2, *LONG_RUN, "--epochs", "9999", "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "checkpoint.npz", job)
    job.send_signal(signal.SIGTERM)
    code, _, err = finish(job)
    assert code == 143
    assert "the state is saved in run/checkpoint.npz" in err


def test_ranks_with_other_settings_are_named(tmp_path):
    train = [*PROGRAM, "train", "--out", "run", "--epochs"]
    code, _, err = finish(launch(join([[*train, "3"], [*train, "4"]]), tmp_path))
    assert code == 2
    assert "rank 1 on " in err
    assert "has other settings than rank 0: '4' instead of '3'" in err


def test_a_rank_with_other_data_is_named(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "data.npy", np.full((60, 4, 4), ord(name), np.uint8))
    train = [*PROGRAM, "train", "--data", "data.npy", "--hidden", "8", "--out", "run"]
    code, _, err = finish(
        launch(join(["-wdir", str(tmp_path / name), *train] for name in "ab"), tmp_path)
    )
    assert code == 2
    assert "rank 1 on " in err
    assert "has other data than rank 0" in err


def test_only_rank_0_needs_the_disk_of_the_run(tmp_path):
    places = [["-wdir", str(tmp_path / name)] for name in "ab"]
    for name in "ab":
        (tmp_path / name).mkdir()
    code, _, err = run(
        2, "train", *SMALL, "--epochs", "1", "--out", "run", cwd=tmp_path, before=places
    )
    assert code == 0, err
    assert list((tmp_path / "b").iterdir()) == []
    again = ("train", "--resume", "run", "--epochs", "2", "--change-settings")
    assert run(2, *again, cwd=tmp_path, before=places)[0] == 0


def test_without_mpi4py_one_sentence_says_what_to_install(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError")
    code, _, err = run(2, "train", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert code == 2
    assert err.count("scratchvae:") == 1
    assert 'mpi4py is not installed: pip install "scratchvae[mpi]"' in err


def with_a_broken_module(tmp_path: Path, name: str, error: str) -> tuple[int, str]:
    """Exit code and stderr of two ranks, of which rank 1 finds a module that raises this."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / f"{name}.py").write_text(f"raise {error}")
    train = [*PROGRAM, "train", *SMALL, "--out", "run"]
    broken = ["env", f"PYTHONPATH={tmp_path / 'broken'}:{ROOT}", *train]
    begun = time.monotonic()
    code, _, err = finish(launch(join([train, broken]), tmp_path))
    assert time.monotonic() - begun < SOON
    assert err.count("scratchvae:") == 1
    assert "scratchvae: rank 1 on " in err
    return code, err


def test_a_rank_alone_without_mpi4py_says_so_and_ends_the_job(tmp_path):
    code, err = with_a_broken_module(tmp_path, "mpi4py", "ImportError")
    assert code == 2
    assert "cannot take part: mpiexec has started 2 ranks, but mpi4py is not installed" in err


def test_a_rank_that_cannot_load_the_program_ends_the_job(tmp_path):
    code, err = with_a_broken_module(tmp_path, "numpy", "OSError('Cannot allocate memory')")
    assert code == 2
    assert "not enough memory to load the program: Cannot allocate memory" in err


def test_more_ranks_than_images_in_a_batch_are_refused(tmp_path):
    code, _, err = run(3, "train", "--batch-size", "2", "--out", "run", cwd=tmp_path)
    assert code == 2
    assert "there are 3 ranks, but a batch has only 2 images" in err


# ---- no memory, no disk -------------------------------------------------------------------------

WIDE = ("train", *SMALL[2:], "--hidden", "1000", "1000", "--pieces", "4", "--quiet")


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_without_memory_ends_the_job_which_is_then_resumed_to_the_same_bits(rank, tmp_path):
    code, _, err = run(2, *WIDE, "--epochs", "1", "--out", "run", cwd=tmp_path)
    assert code == 0, err
    before = checkpoint(tmp_path / "run")
    more = ("train", "--resume", "run", "--epochs", "2", "--change-settings", "--quiet")
    scarce: list[list[str]] = [[], []]
    scarce[rank] = ["prlimit", f"--data={150 << 20}"]
    begun = time.monotonic()
    code, _, err = run(2, *more, cwd=tmp_path, before=scarce)
    assert time.monotonic() - begun < SOON
    assert code == 2
    assert "memory" in err
    assert err.count("scratchvae: ") == 1
    assert rank == 0 or "rank 1 on " in err
    assert checkpoint(tmp_path / "run") == before
    assert run(1, "verify", "run", cwd=tmp_path)[0] == 0
    code, _, err = run(3, *more, cwd=tmp_path)
    assert code == 0, err
    assert run(1, *WIDE, "--epochs", "2", "--out", "whole", cwd=tmp_path)[0] == 0
    assert checkpoint(tmp_path / "run") == checkpoint(tmp_path / "whole")


def test_a_full_disk_ends_the_job_which_is_then_resumed_to_the_same_bits(uninterrupted, tmp_path):
    job = start(2, *LONG_RUN, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "checkpoint.npz", job)
    resource.prlimit(computing(job)[0], resource.RLIMIT_FSIZE, (4096, 4096))  # bytes of a file
    full = time.monotonic()
    code, _, err = finish(job)
    assert time.monotonic() - full < SOON
    assert code == 2
    assert "run/checkpoint.npz cannot be written: File too large" in err
    assert err.count("scratchvae: ") == 1
    assert run(1, "verify", "run", cwd=tmp_path)[0] == 0
    code, _, err = run(3, "train", "--resume", "run", "--quiet", cwd=tmp_path)
    assert code == 0, err
    assert checkpoint(tmp_path / "run") == uninterrupted
