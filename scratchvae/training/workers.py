"""A few processes that do one thing together, and meet where one needs what another has made.

Threads of one interpreter wait for its lock between any two calls of NumPy; processes have an
interpreter each. The members are forked from the caller: they have its objects as they were then,
and the arrays that lie in shared memory (``Backend.for_workers``) are the same numbers for all.
"""

import gc
import mmap
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from scratchvae.errors import WorkerError

SPINS = 2000  # attempts, about 0.1 ms, before a member that waits leaves its core to others
PATIENCE = 0.1  # seconds that it then sleeps, at most, before it looks whether all are still there
PAGE = 4096  # bytes that all share: the numbers of a job, then what a member died of
NUMBERS = 8

Job = Callable[..., None]  # job(member, *numbers) is what this member does


def can_fork() -> bool:
    """Whether processes can share a step here: elsewhere a fork is missing, or not safe."""
    return sys.platform == "linux"


class Team:
    """``size`` members that do a ``job``, the caller being number 0.

    The others are forked when the first job is due, so they see nothing that the caller changes
    later but shared memory and the numbers that :meth:`run` is given.
    """

    def __init__(self, size: int, job: Job) -> None:
        self.size, self.job = size, job
        self.members: list[int] = []  # their processes, from number 1

    def run(self, *numbers: int) -> None:
        """Every member does its part of the job; returns, or raises, when all have finished.

        ``WorkerError`` if a process of the team fails, or cannot be started.
        """
        if self.size == 1:
            self.job(0, *numbers)
            return
        try:
            if not self.members:
                self._start()
            for place, number in enumerate((len(numbers), *numbers)):
                self._numbers[place] = number
            self.meet(0)
            self.job(0, *numbers)
            self.meet(0)
        except BaseException:
            self.close()  # nobody knows how far the others are
            raise

    def meet(self, me: int) -> None:
        """Wait until all members are here; each then sees what the others have written."""
        if self.size == 1:
            return
        for arrival in self._arrivals[me]:
            arrival.release()
        for arrival in self._awaited[me]:
            self._take(arrival, me)

    def _take(self, arrival: Any, me: int) -> None:
        """Wait for one member. Spinning is sooner than sleeping, where it does not take long."""
        for _ in range(SPINS):
            if arrival.acquire(False):
                return
        while not arrival.acquire(True, PATIENCE):
            if me:
                self._leave_an_orphan()
            else:
                self._look_after()

    def close(self) -> None:
        """End the processes; the next job would start new ones."""
        for member in self.members:
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)  # it owns nothing that could be lost
        for member in self.members:
            with suppress(ChildProcessError):  # a program may leave its dead to the system
                os.waitpid(member, 0)
        self.members = []

    def _start(self) -> None:
        self._caller = os.getpid()
        page = memoryview(mmap.mmap(-1, PAGE))
        self._numbers, self._words = page[: 8 * NUMBERS].cast("q"), page[8 * NUMBERS :]
        try:
            from multiprocessing import get_context

            semaphore, all_of = get_context("fork").Semaphore, range(self.size)
            # Member a releases those of pairs (a, b), and takes those of pairs (b, a).
            pairs = {(a, b): semaphore(0) for a in all_of for b in all_of if a != b}
            self._arrivals = [[s for (a, _), s in pairs.items() if a == me] for me in all_of]
            self._awaited = [[s for (_, b), s in pairs.items() if b == me] for me in all_of]
            for number in range(1, self.size):
                self.members.append(self._fork(number))
        except (OSError, ImportError) as error:
            raise WorkerError(
                f"{self.size} processes cannot share a step here ({error}): set workers to 1"
            ) from error

    def _fork(self, number: int) -> int:
        with warnings.catch_warnings():
            # Python warns that other threads' locks stay locked in a forked process. A member
            # takes none of them: it runs its job, on one BLAS thread, and nothing else.
            warnings.simplefilter("ignore", DeprecationWarning)
            member = os.fork()
        if member == 0:
            try:
                self._serve(number)
            except BaseException as error:
                words = f"{type(error).__name__}: {error}".encode()[: len(self._words)]
                self._words[: len(words)] = words
            finally:
                os._exit(1)
        return member

    def _serve(self, number: int) -> None:
        """What a member does as long as it lives."""
        gc.disable()  # the caller's garbage is not this process's to finalize
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # nor are its files, and the locks on them
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)  # the caller answers, and ends the team
        while True:
            self.meet(number)
            self.job(number, *self._numbers[1 : 1 + self._numbers[0]])
            self.meet(number)

    def _leave_an_orphan(self) -> None:
        """End this member if the caller is no more."""
        if os.getppid() != self._caller:
            os._exit(1)

    def _look_after(self) -> None:
        """``WorkerError`` if a member is no more."""
        for member in self.members:
            try:
                ended, status = os.waitpid(member, os.WNOHANG)
            except ChildProcessError:  # the system has taken it away already
                ended, status = member, 0
            if ended:
                self.members.remove(member)
                words = bytes(self._words).rstrip(b"\0").decode(errors="replace")
                if os.WIFSIGNALED(status):
                    words = f"signal {signal.Signals(os.WTERMSIG(status)).name}"
                raise WorkerError(f"a process that shared the training step ended ({words})")
