"""Processes that compute one task together and wait for each other at barriers inside it.

Threads of one interpreter wait for its lock between any two calls of NumPy; processes have an
interpreter each. The others are new programs, not forks: a fork would inherit locks that another
thread of the caller (a notebook's, or one that uses BLAS) happened to hold, and wait for them for
ever. They receive the task pickled; its arrays in ``Backend.shared_memory`` are the same memory.
"""

import ctypes
import mmap
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NoReturn
from weakref import finalize

from scratchvae.backend.allocation import SharedMemory, dumps, loads
from scratchvae.errors import WorkerError

# Attempts before a process that waits leaves its core to others: about 1 ms of them where waits are
# short, and 0.1 ms where they are not, because another program has one of the cores.
SPINS, FEW_SPINS = 4_000, 400
SHORT, LONG = 5e-4, 5e-3  # seconds: a short wait, and what a longer one counts as
PATIENCE = 0.1  # seconds that it then sleeps at most before it checks that the others are alive
LONGEST_WAIT = 600.0  # seconds until a process that is alive but does not arrive counts as lost
START_SECONDS = 60.0  # until a process that has been started must be ready
READY = b"ready"
WORDS = 1000  # bytes that a process says of its error at most
HEADER = 64  # bytes: the process's number, the caller, and the length of the pickled task
NUMBERS = 8  # the numbers of a run: how many there are, then they
SEMAPHORE = 64  # bytes; at least a sem_t, and a cache line of its own
# Every process of a pool multiplies on one core, with whichever BLAS NumPy has.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1"
)
UNPICKLABLE = (pickle.PicklingError, TypeError, AttributeError)
# Ctrl-C and the like are the caller's business: a process is born with them blocked.
CALLERS_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
PROGRAM = "import sys; sys.path[:] = {}; from scratchvae.training.workers import serve; serve()"

# task(worker, *numbers) yields wherever all workers wait for all, the last time when it has done.
Task = Callable[..., Iterator[object]]


def can_share() -> bool:
    """Whether processes can share a step here: Linux, shared semaphores, a Python to start them."""
    return sys.platform == "linux" and not getattr(sys, "frozen", False)


def why_unpicklable(obj: object) -> str | None:
    """Why ``obj`` cannot be sent to another process, in words; None if it can."""
    try:
        dumps(obj)
    except UNPICKLABLE as error:
        return str(error)
    return None


class Timespec(ctypes.Structure):
    """A time of the system's clock (``struct timespec``)."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Barrier:
    """A barrier for ``size`` processes: POSIX semaphores in shared memory.

    Semaphore (a, b) counts the arrivals of process a that process b has not yet taken.
    """

    def __init__(self, memory: SharedMemory, size: int) -> None:
        self.size = size
        self.semaphores = memory.zeros(size * size * SEMAPHORE)
        for a in range(size):
            for b in range(size):
                if ctypes.CDLL(None).sem_init(self._semaphore(a, b), 1, 0):
                    raise OSError("the system refuses semaphores")

    def _semaphore(self, a: int, b: int) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.semaphores.ctypes.data + (a * self.size + b) * SEMAPHORE)

    def join(self, me: int, check: Callable[[float], None]) -> Callable[[], None]:
        """The function that process ``me`` calls to wait for the others, and see their writes.

        While it waits, it calls ``check`` about every 0.1 s with the seconds waited so far; an
        error raised by ``check`` ends the wait.
        """
        others = [other for other in range(self.size) if other != me]
        arrivals = [self._semaphore(me, other) for other in others]
        awaited = [self._semaphore(other, me) for other in others]
        keeping, releasing = ctypes.PyDLL(None), ctypes.CDLL(None)  # the interpreter's lock
        post, try_to_take, take_within = (
            keeping.sem_post, keeping.sem_trywait, releasing.sem_timedwait,
        )  # fmt: skip
        take_within.argtypes = [ctypes.c_void_p, ctypes.POINTER(Timespec)]
        usual = 0.0  # seconds that a wait takes, on average over the last ones

        def wait() -> None:
            nonlocal usual
            arrived = time.monotonic()
            for semaphore in arrivals:
                post(semaphore)
            for semaphore in awaited:
                # Trying again is sooner than sleeping if the wait is short.
                for _ in range(SPINS if usual < SHORT else FEW_SPINS):
                    if not try_to_take(semaphore):
                        break
                else:
                    waited = 0.0
                    while True:
                        begun = time.monotonic()
                        until, rest = divmod(time.time() + PATIENCE, 1.0)
                        if not take_within(semaphore, Timespec(int(until), int(rest * 1e9))):
                            break
                        # A signal wakes it early, and a stopped process has not waited.
                        waited += min(time.monotonic() - begun, PATIENCE)
                        check(waited)
            usual += (min(time.monotonic() - arrived, LONG) - usual) / 8

        return wait


class WorkerPool:
    """Computes a task with ``workers`` workers in ``processes`` processes, the caller being one.

    Worker k computes ``task(k, *numbers)``, an iterator that yields at every barrier, where all
    wait for the others' results, and at its end; all yield equally often. Process p runs the
    workers p, p + processes, … in turn, so the number of processes does not change the result.
    The other processes compute in the context that ``within`` makes, the caller in its own.
    """

    def __init__(
        self,
        memory: SharedMemory,
        workers: int,
        processes: int,
        task: Task,
        within: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.memory, self.within = memory, within
        self.workers, self.processes, self.task = workers, processes, task
        self.numbers = memory.zeros(8 * NUMBERS).view("int64")
        self._sockets: dict[int, socket.socket] = {}  # by process
        self._not_ready: set[int] = set()
        finalize(self, _end, os.getpid(), self._sockets)

    @property
    def pids(self) -> list[int]:
        """The ids of the other processes; none before :meth:`begin` and after :meth:`close`."""
        return list(self._sockets)

    def start(self) -> None:
        """Start the other processes and wait until they are ready; raises what these two raise."""
        self.begin()
        while not self.is_ready():
            time.sleep(1e-3)

    def begin(self) -> None:
        """Start the other processes, which get ready by themselves.

        ``WorkerError`` if the system refuses a process, or the task cannot be pickled.
        """
        try:
            self._barrier = barrier = Barrier(self.memory, self.processes)  # keeps its memory
            self._wait = barrier.join(0, self._raise_if_worker_died)
            share = (self.workers, self.processes, self.task, self.within, self.numbers, barrier)
            content, files = dumps(share, self.memory)
            # In a file, because a socket takes no more than its buffer before anyone reads.
            with open(os.memfd_create("task"), "wb") as task:
                task.write(content)
                task.flush()
                for number in range(1, self.processes):
                    self._start(number, len(content), [task.fileno(), *files])
        except (OSError, MemoryError, *UNPICKLABLE) as error:
            self.close()
            raise WorkerError(str(error)) from error
        except BaseException:
            self.close()
            raise
        self._not_ready = set(self._sockets)
        self._until = time.monotonic() + START_SECONDS

    def is_ready(self) -> bool:
        """Whether all processes that :meth:`begin` has started can run the task.

        ``WorkerError``, and no process is left, if one fails or is not ready within a minute.
        """
        for pid in list(self._not_ready):
            try:
                answer = self._sockets[pid].recv(WORDS)
            except BlockingIOError:
                if time.monotonic() < self._until:
                    return False
                answer = f"no process was ready within {START_SECONDS:.0f} s".encode()
            except OSError as error:
                answer = str(error).encode()
            if answer != READY:
                self.close()
                raise WorkerError(answer.decode(errors="replace") or "a process ended at once")
            self._not_ready.remove(pid)
        return True

    def _start(self, number: int, length: int, files: list[int]) -> None:
        path = [entry for entry in sys.path if isinstance(entry, str)]
        ours, theirs = socket.socketpair()
        # Not subprocess: where the system refuses vfork it forks, and OpenBLAS ends its threads
        # before a fork, cannot start them again under a limit of processes, and sends SIGINT.
        with theirs:
            try:
                pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-c", PROGRAM.format(path)],
                    os.environ | ONE_THREAD,
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                    setsigmask=CALLERS_SIGNALS,
                )
            except BaseException:
                ours.close()
                raise
        self._sockets[pid] = ours
        ours.setblocking(False)
        socket.send_fds(ours, [(b"%d %d %d" % (number, os.getpid(), length)).ljust(HEADER)], files)

    def run(self, *numbers: int) -> None:
        """Run the task with these numbers in all workers, and return when all are done.

        ``WorkerError`` if another process fails; all are then ended.
        """
        try:
            self.numbers[0] = len(numbers)
            self.numbers[1 : 1 + len(numbers)] = numbers
            compute_part(0, self.workers, self.processes, self.task, self.numbers, self._wait)
        except BaseException:
            self.close()  # it is unknown how far the others are
            raise

    def close(self) -> None:
        """End the other processes."""
        _end(os.getpid(), self._sockets)

    def _raise_if_worker_died(self, waited: float) -> None:
        """``WorkerError`` if a process has ended, or has not answered for ten minutes."""
        for pid, ours in self._sockets.items():
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # the program may leave its ended processes to the system
                ended, status = pid, 0
            if ended:
                code = os.waitstatus_to_exitcode(status)
                words = (
                    f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
                )
                with suppress(OSError):
                    words = ours.recv(WORDS).decode(errors="replace") or words
                self._sockets.pop(pid).close()
                raise WorkerError(f"a process that shared the training step ended ({words})")
        if waited > LONGEST_WAIT:
            raise WorkerError(
                f"a process that shares the training step has not answered for {LONGEST_WAIT:.0f} s"
            )


def _end(caller: int, sockets: dict[int, socket.socket]) -> None:
    """End the processes that ``caller`` has started, and forget them."""
    if os.getpid() != caller:
        return  # in a fork of the caller, whose processes they are not
    for pid in sockets:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # it owns nothing that could be lost
    for pid, ours in sockets.items():
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        ours.close()
    sockets.clear()


def serve() -> NoReturn:
    """The main function of the pool's other processes, which receive their task on stdin."""
    pool = socket.socket(fileno=0)
    try:
        header, files, _, _ = socket.recv_fds(pool, HEADER, 253)
        number, caller, length = map(int, header.split())
        with mmap.mmap(files[0], length, access=mmap.ACCESS_READ) as content:
            share = loads(content.read(), files[1:])
        workers, processes, task, within, numbers, barrier = share

        def exit_if_orphaned(waited: float) -> None:
            if os.getppid() != caller:
                os._exit(1)

        wait = barrier.join(number, exit_if_orphaned)
        pool.sendall(READY)
        with within():
            while True:
                compute_part(number, workers, processes, task, numbers, wait)
    except BaseException as error:
        with suppress(OSError):
            pool.sendall(f"{type(error).__name__}: {error}".encode()[:WORDS])
    finally:
        os._exit(1)


def compute_part(
    process: int,
    workers: int,
    processes: int,
    task: Task,
    numbers: Any,
    wait: Callable[[], None],
) -> None:
    """Run the task once for the workers of one process, starting together with the others."""
    wait()
    given = numbers[1 : 1 + int(numbers[0])].tolist()
    mine = [task(worker, *given) for worker in range(process, workers, processes)]
    for _ in zip(*mine, strict=True):
        wait()
