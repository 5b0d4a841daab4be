"""Processes that compute a task together: they wait, they fail, and they leave nothing behind."""

import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pool_tasks
import pytest
from training_helpers import Notes, settings, trained

import scratchvae.training.partition as partition
import scratchvae.training.step as step_module
import scratchvae.training.workers as workers_module
from scratchvae.backend import get_backend
from scratchvae.backend.allocation import PIECE, SharedMemory, dumps, loads
from scratchvae.errors import ConfigError, WorkerError
from scratchvae.memory import FlatBuffer
from scratchvae.models import Model
from scratchvae.optim import Adam
from scratchvae.training.step import Batches, TrainingStep
from scratchvae.training.workers import Task, WorkerPool, can_share

pytestmark = pytest.mark.skipif(not can_share(), reason="only Linux shares a step")
HERE = Path(__file__).parent


@contextmanager
def pool(
    memory: SharedMemory, task: Task, workers: int = 2, processes: int = 0
) -> Iterator[WorkerPool]:
    made = WorkerPool(memory, workers, processes or workers, task)
    made.start()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def memory() -> SharedMemory:
    return SharedMemory()


def shared(memory: SharedMemory, *shape: int) -> np.ndarray:
    return memory.zeros(8 * int(np.prod(shape))).view("float64").reshape(shape)


def is_alive(process: int) -> bool:
    """Whether it runs; one that has ended and waits to be asked about does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_worker_computes_its_part_in_a_process_of_its_own(workers: int, memory) -> None:
    seen = shared(memory, workers, 3)
    with pool(memory, pool_tasks.Note(seen), workers) as some:
        for numbers in ((3, -4), (2**53, 0)):
            some.run(*numbers)
            assert (seen[:, 1:] == numbers).all()
            assert list(seen[:, 0]) == [os.getpid(), *some.pids]
    assert len(set(seen[:, 0])) == workers


def test_fewer_processes_compute_the_workers_in_turn(memory) -> None:
    seen = shared(memory, 5, 1)
    with pool(memory, pool_tasks.Note(seen), 5, 2) as some:
        some.run()
        assert list(seen[:, 0]) == [os.getpid(), *some.pids, os.getpid(), *some.pids, os.getpid()]


@pytest.mark.parametrize(("workers", "processes"), [(2, 2), (3, 3), (3, 2), (3, 1)])
def test_after_a_barrier_all_see_what_all_have_written(workers, processes, memory) -> None:
    ring, wrong = shared(memory, 2, workers), shared(memory, workers)
    ring[0] = 1.0
    with pool(memory, pool_tasks.Ring(ring, wrong), workers, processes) as some:
        some.run(400)
    assert not wrong.any()
    assert (ring[0] == 2.0**400).all()


def test_a_process_that_waits_long_sleeps_and_is_woken(memory) -> None:
    with pool(memory, pool_tasks.sleep) as some:
        some.run(0)
        used, started = os.times().user, time.monotonic()
        some.run(300)  # more than three times its patience
        assert time.monotonic() - started >= 0.3
        assert os.times().user - used < 0.15


@pytest.mark.parametrize("workers", [2, 3])
def test_the_error_of_a_worker_is_told_and_ends_the_pool(workers: int, memory) -> None:
    with pool(memory, pool_tasks.fail, workers) as some:
        some.run(-1)
        pids = some.pids
        with pytest.raises(WorkerError, match=r"ended \(ValueError: no such thing\)"):
            some.run(workers - 1)
        assert not some.pids
        assert not any(map(is_alive, pids))
        some.start()
        some.run(-1)


def test_the_callers_own_error_is_raised_as_it_is_and_ends_the_pool(memory) -> None:
    with pool(memory, pool_tasks.fail, 3) as some:
        with pytest.raises(ValueError, match="no such thing"):
            some.run(0)
        assert not some.pids


def test_a_pool_that_is_forgotten_ends_its_processes(memory) -> None:
    some = WorkerPool(memory, 2, 2, pool_tasks.sleep)
    some.start()
    pids = some.pids
    del some
    gc.collect()
    assert not any(map(is_alive, pids))


def test_a_worker_that_is_killed_is_missed(memory) -> None:
    with pool(memory, pool_tasks.die) as some, pytest.raises(WorkerError, match="signal SIGKILL"):
        some.run()


def test_a_worker_that_is_stopped_for_too_long_is_given_up(memory, monkeypatch) -> None:
    monkeypatch.setattr(workers_module, "LONGEST_WAIT", 0.3)
    with pool(memory, pool_tasks.sleep) as some:
        os.kill(some.pids[0], signal.SIGSTOP)
        with pytest.raises(WorkerError, match="has not answered"):
            some.run(0)


def test_a_program_that_leaves_ended_processes_to_the_system_can_have_workers(memory) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pool(memory, pool_tasks.fail) as some:
            some.run(-1)
            some.close()
            some.start()
            with pytest.raises(WorkerError, match=r"ended \(ValueError"):
                some.run(1)
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_to_the_whole_group_are_the_callers_business(name: str, memory) -> None:
    with pool(memory, pool_tasks.sleep) as some:
        os.kill(some.pids[0], getattr(signal, name))
        time.sleep(0.01)
        some.run(0)


CALLER = """
import sys
sys.path.insert(0, {here!r})
import pool_tasks
from scratchvae.backend.allocation import SharedMemory
from scratchvae.training.workers import WorkerPool

file = open(sys.argv[1], "w")
pool = WorkerPool(SharedMemory(), 3, 3, pool_tasks.list_files)
pool.start()
pool.run({seconds})
"""


@pytest.mark.parametrize("seconds", [60, 0])
def test_no_process_survives_a_caller_that_is_killed(seconds: int, tmp_path: Path) -> None:
    program = CALLER.format(here=str(HERE), seconds=seconds)
    command = [sys.executable, "-c", program, str(tmp_path / "open")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        lines = [caller.stdout.readline().split() for _ in range(2)]
        pids = [int(line[0]) for line in lines]
        alive = list(map(is_alive, pids))
        caller.kill()
    assert alive == [True, True]
    assert not any(str(tmp_path) in file for line in lines for file in line)  # nor a lock on it
    until = time.monotonic() + 5
    while any(map(is_alive, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(is_alive, pids))


# ---- processes that do not come ------------------------------------------------------------------


def refuse(*args: object, **kwargs: object) -> Any:
    raise BlockingIOError(11, "Resource temporarily unavailable")


class Refusing:
    """A C library whose semaphores are not implemented."""

    def sem_init(self, *args: object) -> int:
        return -1


HINDRANCES = {
    "no process": ("os.posix_spawn", refuse, "Resource temporarily unavailable"),
    "no semaphore": ("ctypes.CDLL", lambda name: Refusing(), "refuses semaphores"),
    "no memory": ("os.memfd_create", refuse, "no memory that processes can share"),
    "no socket": ("socket.socketpair", refuse, "Resource temporarily unavailable"),
    "another system": ("sys.platform", "darwin", "no memory that processes can share"),
    "one core": ("scratchvae.training.step.cores", lambda: 1, "there is one core"),
}


@pytest.mark.parametrize("what", HINDRANCES)
def test_without_processes_a_training_goes_on_in_one_and_says_why(what: str, monkeypatch) -> None:
    config = settings(workers=2, hidden=(8, 6))
    monkeypatch.setattr(step_module, "cores", lambda: 2)
    shared, notes = trained(config), Notes()
    name, value, words = HINDRANCES[what]
    monkeypatch.setattr(name, value)
    alone = trained(config, progress=notes)
    assert alone.model.params.flat.tobytes() == shared.model.params.flat.tobytes()
    (note,) = notes.seen
    assert note.startswith("one process computes the parts of 2 workers, because ")
    assert words in note


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "", "raise SystemExit(3)"])
def test_a_process_that_does_not_get_ready_is_not_waited_for(program, memory, monkeypatch) -> None:
    monkeypatch.setattr(workers_module, "PROGRAM", program + " # {}")
    monkeypatch.setattr(workers_module, "START_SECONDS", 0.5)
    some, started = WorkerPool(memory, 2, 2, pool_tasks.sleep), time.monotonic()
    with pytest.raises(WorkerError):
        some.start()
    assert time.monotonic() - started < 10
    assert not some.pids


def test_a_task_that_cannot_be_pickled_is_told(memory) -> None:
    with pytest.raises(WorkerError, match="pickle"):
        WorkerPool(memory, 2, 2, lambda worker: iter([None])).start()


def test_elsewhere_than_on_linux_the_rule_chooses_one_worker(monkeypatch) -> None:
    large = settings(hidden=(512,), batch_size=100)
    vae, bk = large.make_vae(784), get_backend("cpu")
    monkeypatch.setattr(partition, "cores", lambda: 2)
    assert partition.resolve_workers(0, large.batch_size, bk, vae) == 2
    monkeypatch.setattr(sys, "platform", "darwin")
    assert partition.resolve_workers(0, large.batch_size, bk, vae) == 1


PROGRAM = """
import sys, threading
import numpy as np
sys.path.insert(0, {here!r})
from training_helpers import Notes, settings, trained
import scratchvae.training.step as step

step.cores = lambda: 2
print("begun", flush=True)

def multiply():
    a = np.ones((700, 700))
    while not enough.is_set():
        a @ a

enough, notes = threading.Event(), Notes()
for _ in range({threads}):
    threading.Thread(target=multiply).start()
for _ in range(3):
    trained(settings(workers=2), progress=notes)
enough.set()
print("done", *notes.seen)
"""


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("how", ["file", "standard input"])
def test_a_program_without_a_guard_trains_beside_threads_that_use_blas(
    threads: int, how: str, tmp_path: Path
) -> None:
    """Forked processes would wait for ever for locks of BLAS; the main program is not run again."""
    text, path = PROGRAM.format(here=str(HERE), threads=threads), tmp_path / "program.py"
    path.write_text(text)
    command = [sys.executable, str(path)] if how == "file" else [sys.executable, "-"]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "begun\ndone\n"
    assert done.stderr == ""


LIMITED = """
import os, resource, sys
sys.path.insert(0, {here!r})
from training_helpers import Notes, settings, trained
import scratchvae.training.step as step

step.cores = lambda: 2
free = trained(settings(workers=2))
if os.getuid() == 0:  # whom no limit holds
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
notes = Notes()
limited = trained(settings(workers=2), progress=notes)
print(limited.model.params.flat.tobytes() == free.model.params.flat.tobytes(), *notes.seen)
"""


def test_a_limit_of_processes_neither_stops_a_training_nor_disturbs_blas() -> None:
    """A fork that is refused would leave OpenBLAS unable to start its threads again."""
    command = [sys.executable, "-c", LIMITED.format(here=str(HERE))]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.startswith("True one process computes the parts of 2 workers, because ")
    assert done.stderr == ""


# ---- a step and its processes --------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"clip": 0.01, "optimizer": "sgd"}, {"binarize": "dynamic"}]
)
@pytest.mark.parametrize("alone", [0, 3, 7])
def test_processes_that_are_late_join_at_any_step_and_change_no_bit(
    alone: int, changes, monkeypatch
) -> None:
    """Until they are ready, the calling process computes the parts of all workers."""
    config = settings(workers=2, epochs=2, **changes)
    monkeypatch.setattr(step_module, "cores", lambda: 1)
    wanted = trained(config).model.params.flat.tobytes()
    monkeypatch.setattr(step_module, "cores", lambda: 2)
    asked, together = 0, 0

    def is_ready(self: WorkerPool) -> bool:
        nonlocal asked
        asked += 1
        if asked <= alone:
            return False
        while not ready(self):
            time.sleep(1e-3)
        return True

    def run_together(self: WorkerPool, *numbers: int) -> None:
        nonlocal together
        together += 1
        run(self, *numbers)

    ready, run = WorkerPool.is_ready, WorkerPool.run
    monkeypatch.setattr(WorkerPool, "is_ready", is_ready)
    monkeypatch.setattr(WorkerPool, "run", run_together)
    assert trained(config).model.params.flat.tobytes() == wanted
    assert together == asked - alone > 0


@pytest.mark.parametrize("program", ["", "import time; time.sleep(60)"])
def test_a_training_whose_processes_never_come_goes_on_and_says_so(program, monkeypatch) -> None:
    config, notes = settings(workers=2), Notes()
    monkeypatch.setattr(step_module, "cores", lambda: 2)
    wanted = trained(config).model.params.flat.tobytes()
    monkeypatch.setattr(workers_module, "PROGRAM", program + " # {}")
    monkeypatch.setattr(workers_module, "START_SECONDS", 0.0)
    ready = WorkerPool.is_ready
    monkeypatch.setattr(WorkerPool, "is_ready", lambda self: time.sleep(0.05) or ready(self))
    assert trained(config, progress=notes).model.params.flat.tobytes() == wanted
    (note,) = notes.seen
    assert note.startswith("one process computes the parts of 2 workers, because ")


@pytest.mark.parametrize(
    "changes", [{}, {"clip": 0.01, "optimizer": "sgd"}, {"binarize": "dynamic"}, {"batch_size": 13}]
)
@pytest.mark.parametrize("weights", [1, 2**60])  # layers divided by units, and by rows
def test_the_number_of_processes_changes_no_bit(changes, weights: int, monkeypatch) -> None:
    monkeypatch.setattr(partition, "MANY_WEIGHTS", weights)
    monkeypatch.setattr(partition, "UNITS", 2)
    found = set()
    for cores in (1, 2, 3):
        monkeypatch.setattr(step_module, "cores", lambda cores=cores: cores)
        found.add(trained(settings(workers=3, **changes)).model.params.flat.tobytes())
    assert len(found) == 1


def test_no_process_is_left_when_a_training_is_over(monkeypatch) -> None:
    started, begin = [], WorkerPool.begin

    def remembered(self: WorkerPool) -> None:
        begin(self)
        started.extend(self.pids)

    monkeypatch.setattr(WorkerPool, "begin", remembered)
    monkeypatch.setattr(step_module, "cores", lambda: 3)
    trained(settings(workers=3, epochs=2))
    assert len(started) == 2  # once per training, not once per epoch
    assert not any(map(is_alive, started))


def test_parameters_on_another_backend_are_refused() -> None:
    bk, vae = get_backend("cpu"), settings().make_vae(12)
    images = np.zeros((8, 12), dtype=np.uint8)
    params = FlatBuffer(get_backend("cpu"), vae.layout)
    with pytest.raises(ConfigError, match="the parameters lie on another backend"):
        TrainingStep(Model(vae, bk, params=params), Adam(), Batches(images, 255, 4, 0), workers=2)


# ---- shared memory -------------------------------------------------------------------------------


def test_shared_arrays_are_arrays_like_others() -> None:
    bk = get_backend("cpu").for_workers(3)
    assert bk.for_workers(2) is bk
    assert bk.shared_memory is not None
    a = bk.empty((3, 5))
    assert a.ctypes.data % 64 == 0
    assert (a.dtype, a.shape) == (np.float32, (3, 5))
    assert a.flags.writeable
    assert a.flags.c_contiguous
    assert bk.zeros((), "int64") == 0
    with pytest.raises(MemoryError):
        bk.empty((2**58,))
    assert bk.zeros((4,)).sum() == 0


def test_a_backend_without_shared_arrays_stays_itself() -> None:
    strict, cpu = get_backend("strict"), get_backend("cpu")
    assert strict.for_workers(2) is strict
    assert cpu.for_workers(1) is cpu


def test_pickled_arrays_are_the_same_memory_and_others_are_copies(memory) -> None:
    a, outside = shared(memory, 4, 6), np.arange(3.0)
    content, files = dumps([a, a.T[1:, ::-2], a[2, 3:4].reshape(()), outside, np], memory)
    b, turned, one, copy, module = loads(content, files)
    a[...] = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(b, a)
    np.testing.assert_array_equal(turned, a.T[1:, ::-2])
    one[...] = -1
    assert a[2, 3] == -1
    outside[0] = 5
    assert copy[0] == 0
    assert module is np


def test_shared_memory_that_is_not_used_is_given_back(memory) -> None:
    kept = memory.zeros(10)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        memory.zeros(PIECE + 1)[...] = 1
    assert len(memory.pieces()) <= 2
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert not kept.any()


def test_what_the_main_program_defines_is_named_where_it_cannot_be_pickled() -> None:
    class Layer:
        pass

    Layer.__module__ = "__main__"
    assert "Layer is defined in the main program" in str(workers_module.why_unpicklable(Layer()))
    assert workers_module.why_unpicklable(SimpleNamespace(a=np.float64(1))) is None


def test_a_semaphore_fits_its_place() -> None:
    """glibc's sem_t has 32 bytes on 64 bits; what it writes stays within the 64 of each."""
    memory = np.full(256, 0x5A, np.uint8)
    ctypes.CDLL(None).sem_init(ctypes.c_void_p(memory.ctypes.data), 1, 3)
    assert (memory[workers_module.SEMAPHORE :] == 0x5A).all()
