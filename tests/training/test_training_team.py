"""Processes that do a job together: they meet, they fail, and they leave nothing behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from training_helpers import settings, trained

import scratchvae.training.partition as shares
import scratchvae.training.workers as team_module
from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError, WorkerError
from scratchvae.memory import FlatBuffer
from scratchvae.optim import Adam
from scratchvae.training.step import TrainingStep
from scratchvae.training.workers import Job, Team, can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="only Linux shares a step among processes")


@contextmanager
def team(size: int, job: Job) -> Iterator[Team]:
    members = Team(size, job)
    try:
        yield members
    finally:
        members.close()


def shared(*shape: int) -> np.ndarray:
    return get_backend("cpu", "float64").for_workers(2).zeros(shape)


def is_alive(process: int) -> bool:
    """Whether it runs; one that has ended and waits to be asked about does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_member_does_its_part_in_a_process_of_its_own(size: int) -> None:
    seen = shared(size, 3)
    with team(size, lambda me, *numbers: seen[me].put([0, 1, 2], [os.getpid(), *numbers])) as some:
        for numbers in ((3, -4), (2**53, 0)):
            some.run(*numbers)
            assert (seen[:, 1:] == numbers).all()
            assert list(seen[:, 0]) == [os.getpid(), *some.members]
    assert len(set(seen[:, 0])) == size


@pytest.mark.parametrize("size", [2, 3])
def test_after_a_meeting_everybody_sees_what_all_have_written(size: int) -> None:
    """A ring in which each adds its neighbour's number to its own, hundreds of times."""
    rounds, ring, wrong = 400, shared(2, size), shared(size)

    def job(me: int) -> None:
        for k in range(rounds):
            old, new = ring[k % 2], ring[(k + 1) % 2]
            new[me] = old[me] + old[(me + 1) % size]
            some.meet(me)
            wrong[me] += not (new == 2.0 ** (k + 1)).all()

    ring[0] = 1.0
    with team(size, job) as some:
        some.run()
    assert not wrong.any()


def test_a_member_that_waits_long_sleeps_and_is_woken() -> None:
    done = shared(2)

    def job(me: int) -> None:
        time.sleep(0.3 * me)  # more than three times its patience
        some.meet(me)
        done[me] = 1.0

    with team(2, job) as some:
        some.run()
        used = os.times().user
        some.run()
        assert os.times().user - used < 0.15  # of 0.3 s
    assert done.all()


@pytest.mark.parametrize("size", [2, 3])
def test_the_error_of_a_member_is_told_and_ends_the_team(size: int) -> None:
    def job(me: int, fail: int) -> None:
        if fail and me == size - 1:
            raise ValueError("no such thing")
        some.meet(me)

    with team(size, job) as some:
        some.run(0)
        members = list(some.members)
        with pytest.raises(WorkerError, match=r"ended \(ValueError: no such thing\)"):
            some.run(1)
        assert not some.members
        assert not any(map(is_alive, members))
        some.run(0)  # a new team


def test_the_callers_own_error_is_raised_as_it_is_and_ends_the_team() -> None:
    def job(me: int) -> None:
        if me == 0:
            raise KeyboardInterrupt
        some.meet(me)

    with team(3, job) as some, pytest.raises(KeyboardInterrupt):
        some.run()
    assert not some.members


def test_a_member_that_is_killed_is_missed() -> None:
    def job(me: int) -> None:
        if me == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        some.meet(me)

    with team(2, job) as some, pytest.raises(WorkerError, match=r"ended \(signal SIGKILL\)"):
        some.run()


def test_a_program_that_leaves_its_dead_to_the_system_can_have_workers() -> None:
    def job(me: int, fail: int) -> None:
        assert not (fail and me)
        some.meet(me)

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with team(2, job) as some:
            some.run(0)
            some.close()
            with pytest.raises(WorkerError, match=r"ended \(AssertionError"):
                some.run(1)
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_to_the_whole_group_are_the_callers_business(name: str) -> None:
    done = shared(2)
    with team(2, lambda me: done.put(me, done[me] + 1)) as some:
        some.run()
        os.kill(some.members[0], getattr(signal, name))
        time.sleep(0.01)
        some.run()
    assert (done == 2).all()


CALLER = """
import os, sys, time
from scratchvae.training.workers import Team

file = open(sys.argv[1], "w")

def job(me):
    if me:
        os.write(1, f"{{os.getpid()}} {{len(os.listdir('/proc/self/fd'))}}\\n".encode())
    else:
        {how}

Team(3, job).run()
"""


@pytest.mark.parametrize("how", ["time.sleep(60)", "sum(iter(int, 1))"])
def test_nobody_survives_a_caller_that_is_killed(how: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CALLER.format(how=how), str(tmp_path / "open")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        lines = [caller.stdout.readline().split() for _ in range(2)]
        members = [int(line[0]) for line in lines]
        alive = list(map(is_alive, members))
        caller.kill()
    assert alive == [True, True]
    # Its three standard streams and the listing itself: not the file, nor a lock on it.
    assert [int(line[1]) for line in lines] == [4, 4]
    until = time.monotonic() + 5
    while any(map(is_alive, members)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(is_alive, members))


def test_no_process_is_left_when_a_training_is_over(monkeypatch) -> None:
    fork, forked = os.fork, []

    def remembered() -> int:
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr(os, "fork", remembered)
    monkeypatch.setattr(shares, "cores", lambda: 3)
    trained(settings(workers=3, epochs=2))
    assert len(forked) == 2  # once a training, not once an epoch
    assert not any(map(is_alive, forked))


def test_a_system_without_semaphores_is_told_to_do_without_workers(monkeypatch) -> None:
    def missing(*args: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(multiprocessing.get_context("fork"), "Semaphore", missing, raising=False)
    with pytest.raises(WorkerError, match=r"cannot share a step here .*: set workers to 1"):
        Team(2, lambda me: None).run()


def test_elsewhere_than_on_linux_a_step_has_one_worker(monkeypatch) -> None:
    monkeypatch.setattr(team_module.sys, "platform", "darwin")
    large = settings(hidden=(512,), batch_size=100)
    assert shares.resolve_workers(large, get_backend("cpu"), 784).workers == 1
    with pytest.raises(ConfigError, match="on Linux"):
        shares.resolve_workers(settings(workers=2), get_backend("cpu"), 12)


def test_workers_need_parameters_that_they_share() -> None:
    bk, vae = get_backend("cpu"), settings().make_vae(12)
    images = np.zeros((8, 12), dtype=np.uint8)
    with pytest.raises(ConfigError, match="2 workers need parameters that they share"):
        TrainingStep(bk, vae, FlatBuffer(bk, vae.layout), Adam(), images, 255, 4, 0, workers=2)


def test_a_device_without_shared_arrays_says_so() -> None:
    bk = get_backend("strict")
    assert bk.for_workers(1) is bk
    with pytest.raises(ConfigError, match="strict backend has no arrays that processes share"):
        bk.for_workers(2)


def test_shared_arrays_are_arrays_like_others() -> None:
    bk = get_backend("cpu").for_workers(3)
    assert bk.for_workers(2) is bk
    a = bk.empty((3, 5))
    assert a.ctypes.data % 64 == 0
    assert (a.dtype, a.shape) == (np.float32, (3, 5))
    assert a.flags.writeable
    assert a.flags.c_contiguous
    assert bk.zeros((), "int64") == 0
    with pytest.raises(MemoryError):
        bk.empty((2**58,))
