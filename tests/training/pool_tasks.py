"""Tasks for the processes of a pool, which import them from here."""

import os
import signal
import time
from collections.abc import Iterator

from numpy.typing import NDArray


class Note:
    """Worker k notes its process and the numbers of the run in row k."""

    def __init__(self, seen: NDArray) -> None:
        self.seen = seen

    def __call__(self, worker: int, *numbers: int) -> Iterator[None]:
        self.seen[worker] = [os.getpid(), *numbers]
        yield


class Ring:
    """Each adds its neighbour's number to its own, hundreds of times."""

    def __init__(self, ring: NDArray, wrong: NDArray) -> None:
        self.ring, self.wrong = ring, wrong

    def __call__(self, worker: int, rounds: int) -> Iterator[None]:
        size = self.ring.shape[1]
        for k in range(rounds):
            old, new = self.ring[k % 2], self.ring[(k + 1) % 2]
            new[worker] = old[worker] + old[(worker + 1) % size]
            yield
            self.wrong[worker] += not (new == 2.0 ** (k + 1)).all()


def sleep(worker: int, milliseconds: int) -> Iterator[None]:
    """The second worker takes its time."""
    time.sleep(1e-3 * milliseconds * worker)
    yield


def fail(worker: int, failing: int) -> Iterator[None]:
    """One of the workers raises an error."""
    if worker == failing:
        raise ValueError("no such thing")
    yield


def die(worker: int) -> Iterator[None]:
    """The second worker is killed."""
    if worker == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    yield


def list_files(worker: int, seconds: int) -> Iterator[None]:
    """Say which files are open, then work or sleep for a while."""
    if worker:
        files = sorted(os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd"))
        os.write(1, f"{os.getpid()} {' '.join(files)}\n".encode())
    elif seconds:
        time.sleep(seconds)
    else:
        sum(iter(int, 1))
    yield
