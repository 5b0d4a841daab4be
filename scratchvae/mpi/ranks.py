"""The processes of a job: how they meet, what they compare, and how they wait for each other.

Rank 0 runs the command; the others serve it: they wait for the name of what to do next, do it
together with rank 0, and wait again, until rank 0 says that the job ends.
"""

import hashlib
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import scratchvae
from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.mpi.guardian import abort, agree_to_end, say_for_itself
from scratchvae.mpi.place import Place, place
from scratchvae.mpi.watch import Tether, Watch
from scratchvae.types import Item, Json, Result
from scratchvae.versions import cores, kernel, versions

SPINS = 200  # tests of a message, about 0.1 ms, before a process that waits leaves its core
YIELDS = 2_000  # offers of the core, about a millisecond, before it sleeps between tests
PAUSE = 2e-4  # seconds of such a sleep
ACTIONS = ("end", "train", "map", "step", "take_order", "collect", "spread", "leave")
BLAS = get_backend("cpu", compiled=False)  # NumPy's, whose threads decide about last bits
NUMBERS = 4  # an action and what it takes

Message = Any  # a request of mpi4py


def connect() -> "Ranks | None":
    """Join the job that this process was started in; None for a process that is alone.

    Ranks other than 0 say nothing from then on: rank 0 speaks for them.
    """
    here = place()
    if here is None or here.size == 1:
        return None
    if here.rank:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    try:
        return Ranks(here)
    except Exception as error:
        if here.rank:
            say_for_itself(here.rank, str(error))
        raise


def load_mpi(size: int) -> Any:
    """mpi4py's module MPI, which joins the job as it is imported; ``ConfigError`` without it."""
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except ImportError:
        raise ConfigError(
            f"mpiexec has started {size} ranks, but mpi4py is not installed: "
            'pip install "scratchvae[mpi]"'
        ) from None
    except RuntimeError as error:  # mpi4py is there, and no MPI that it could load
        raise ConfigError(
            f"mpi4py finds no MPI library ({' '.join(str(error).split())}): pip install mpich"
        ) from None
    if MPI.COMM_WORLD.size != size:
        raise ConfigError(
            f"mpiexec has started {size} ranks, but mpi4py sees {MPI.COMM_WORLD.size}: it uses "
            "another MPI than this mpiexec belongs to; start with the mpiexec of that MPI"
        )
    return MPI


class Ranks:
    """The job, as one of its processes sees it; ``ConfigError`` where MPI cannot be used."""

    def __init__(self, here: Place) -> None:
        self.mpi = load_mpi(here.size)
        self.comm = self.mpi.COMM_WORLD
        self.rank, self.size = here.rank, here.size
        self._everything_done = self.mpi.Request.Testall
        self._watch: Watch | None = None
        self._tether: Tether | None = None
        self.hosts: list[str] = []

    def introduce(self, command: Sequence[str]) -> list[str]:
        """Connect the ranks, and compare what they were started with; notes for people.

        ``command``: the words of the command line. ``ConfigError`` unless command, code and
        versions are the same on all ranks.
        """
        if self.rank == 0:
            self._watch = Watch(self.size)
            self.broadcast(self._watch.where())
            self._watch.accept()
        else:
            self._tether = Tether(self.rank, *self.broadcast())
        facts = self.gather(about_this_process(command))
        if facts is None or self._watch is None:
            return []
        self.hosts = [each["host"] for each in facts]
        self._watch.start(self.describe)
        self.require_same(facts)
        return notes_on(facts)

    def describe(self, rank: int) -> str:
        """A rank and its machine, in words."""
        return f"rank {rank} on {self.hosts[rank]}"

    def require_same(self, facts: Sequence[Json]) -> None:
        """``ConfigError`` that names the first rank that differs from rank 0, and in what.

        ``facts``: of each rank, by the name of what they are.
        """
        for rank, other in enumerate(facts):
            for name, value in facts[0].items():
                if name not in ("host", "kernel", "cores") and other[name] != value:
                    raise ConfigError(
                        f"{self.describe(rank)} has other {name} than rank 0: "
                        f"{first_difference(other[name], value)}; all ranks must be the same"
                    )

    # ---- messages ----------------------------------------------------------------------------

    def wait(self, messages: Sequence[Message]) -> None:
        """Return when all messages are done; the core is left to others meanwhile."""
        done = self._everything_done
        for _ in range(SPINS):
            if done(messages):
                return
        for _ in range(YIELDS):
            os.sched_yield()
            if done(messages):
                return
        while not done(messages):
            time.sleep(PAUSE)

    def broadcast(self, value: Any = None) -> Any:
        """The value of rank 0, on every rank."""
        content = np.frombuffer(pickle.dumps(value), np.uint8) if self.rank == 0 else None
        size = np.array([0 if content is None else content.size], np.int64)
        self.wait([self.comm.Ibcast(size)])
        if content is None:
            content = np.empty(int(size[0]), np.uint8)
        self.wait([self.comm.Ibcast(content)])
        return value if self.rank == 0 else pickle.loads(content.tobytes())

    def gather(self, value: Any) -> list[Any] | None:
        """The values of all ranks, in order, on rank 0; None on the others."""
        if self.rank:
            self.send(value, 0)
            return None
        return [value, *(self.receive(rank) for rank in range(1, self.size))]

    def all_say(self, yes: bool) -> bool:
        """Whether all ranks say yes, on every rank."""
        found = self.gather(yes)
        return bool(self.broadcast(found is not None and all(found)))

    def send(self, value: Any, rank: int) -> None:
        """Give a value to a rank, which calls :meth:`receive`."""
        content = np.frombuffer(pickle.dumps(value), np.uint8)
        size = np.array([content.size], np.int64)
        self.wait([self.comm.Isend(size, rank), self.comm.Isend(content, rank)])

    def receive(self, rank: int) -> Any:
        """The value that a rank sends."""
        size = np.empty(1, np.int64)
        self.wait([self.comm.Irecv(size, rank)])
        content = np.empty(int(size[0]), np.uint8)
        self.wait([self.comm.Irecv(content, rank)])
        return pickle.loads(content.tobytes())

    # ---- work that is divided ----------------------------------------------------------------

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """function(item) of every item, in order; rank r computes every size-th from r on.

        Rank 0 calls it, and the others take part in it: function, items and results are pickled.
        """
        items = list(items)
        self.announce("map")
        self.broadcast((function, BLAS.blas_threads()))
        for rank in range(1, self.size):
            self.send(items[rank :: self.size], rank)
        by_rank = [[function(item) for item in items[:: self.size]]]
        by_rank += [self.receive(rank) for rank in range(1, self.size)]
        return [by_rank[i % self.size][i // self.size] for i in range(len(items))]

    def take_part_in_map(self) -> None:
        """What the other ranks do in a :meth:`map`."""
        function, threads = self.broadcast()
        with BLAS.limit_blas(threads):
            self.send([function(item) for item in self.receive(0)], 0)

    # ---- what to do --------------------------------------------------------------------------

    def announce(self, action: str, *numbers: int) -> None:
        """Tell the other ranks, from rank 0, what :meth:`next_action` returns to them."""
        words = np.zeros(NUMBERS, np.int64)
        words[0] = ACTIONS.index(action)
        words[1 : 1 + len(numbers)] = numbers
        self.wait([self.comm.Ibcast(words)])

    def next_action(self) -> tuple[str, list[int]]:
        """What rank 0 announces next."""
        words = np.empty(NUMBERS, np.int64)
        self.wait([self.comm.Ibcast(words)])
        return ACTIONS[int(words[0])], words[1:].tolist()

    def end(self, code: int) -> None:
        """Rank 0 ends the job; the other ranks exit with the same code."""
        agree_to_end()
        self.announce("end", code)
        if self._watch is not None:
            self._watch.close()

    def fail(self, code: int, sentence: str) -> NoReturn:
        """End all ranks at once, whatever they are doing; rank 0 says why, or has said it."""
        if self._tether is not None:
            self._tether.report(code, sentence)
        elif self.rank:
            say_for_itself(self.rank, sentence)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        abort(code)


def about_this_process(command: Sequence[str]) -> Json:
    """What must be the same on all ranks, and what rank 0 wants to know of them."""
    return {
        "settings": list(command),
        "code": code_digest(),
        "versions": [f"{name} {version}" for name, version in versions().items()],
        "kernel": kernel()["kernel"],
        "host": socket.gethostname(),
        "cores": cores(),
    }


def code_digest() -> str:
    """SHA-256 of the package's source."""
    digest, root = hashlib.sha256(), Path(scratchvae.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def first_difference(other: Any, own: Any) -> str:
    """In words, where two values of a kind differ first."""
    if isinstance(own, list):
        pairs = zip([*other, "nothing"], [*own, "nothing"], strict=False)
        return next(f"{a!r} instead of {b!r}" for a, b in pairs if a != b)
    return f"{str(other)[:12]} instead of {str(own)[:12]}"


def notes_on(facts: Sequence[Json]) -> list[str]:
    """Sentences on machines that differ, or that have fewer cores than ranks."""
    notes = []
    kernels = {each["kernel"] for each in facts}
    if len(kernels) > 1:
        notes.append(
            f"the ranks multiply with different BLAS kernels ({', '.join(sorted(kernels))}), so "
            "that the last bits depend on which rank runs where; OPENBLAS_CORETYPE chooses one"
        )
    for host in dict.fromkeys(each["host"] for each in facts):
        there = [each["cores"] for each in facts if each["host"] == host]
        if len(there) > max(there):
            cores_there = "one core" if max(there) == 1 else f"{max(there)} cores"
            notes.append(f"{len(there)} ranks share the {cores_there} of {host}, and take turns")
    return notes
