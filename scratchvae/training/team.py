"""A few threads that do one thing together, then wait for each other.

NumPy and BLAS let go of the interpreter lock while they compute, so that threads which make few
and large calls run side by side.
"""

import threading
from collections.abc import Callable

Job = Callable[[int], None]  # what the member of this number does


class Team:
    """``size`` members, the caller being number 0; their threads start with the first job."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._job: Job | None = None
        self._error: BaseException | None = None
        self._go = [self._taken() for _ in range(1, size)]
        self._done = [self._taken() for _ in range(1, size)]
        self._threads: list[threading.Thread] = []

    @staticmethod
    def _taken() -> threading.Lock:
        lock = threading.Lock()
        lock.acquire()
        return lock

    def run(self, job: Job) -> None:
        """Every member does its part of the job; returns, or raises, when all have finished."""
        if self.size > 1 and not self._threads:
            self._start()
        self._job = job
        for go in self._go:
            go.release()
        self._attempt(job, 0)
        for done in self._done:
            done.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """End the threads; the next job would start new ones."""
        self._job = None
        for go in self._go if self._threads else ():
            go.release()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _start(self) -> None:
        for number in range(1, self.size):
            name = f"scratchvae-worker-{number}"
            thread = threading.Thread(target=self._serve, args=(number,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, number: int) -> None:
        while True:
            self._go[number - 1].acquire()
            if self._job is None:
                return
            self._attempt(self._job, number)
            self._done[number - 1].release()

    def _attempt(self, job: Job, number: int) -> None:
        try:
            job(number)
        except BaseException as error:  # raised again by run, in the caller's thread
            self._error = error
