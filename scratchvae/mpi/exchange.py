"""The reduction: how ranks add the gradients of their pieces, and share what each has updated.

Every rank updates a stretch of the parameters, and holds the moments of that stretch alone. It
receives the others' gradients of its stretch, adds them in the order of the tree, updates, and
gives the new parameters to all. Each number of the gradient and of the parameters so travels once
per rank, and no rank adds or updates what another does. An MPI that knows CUDA is handed the arrays
of a device; for any other, they pass through page-locked memory of the host.
"""

import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import Array, Backend
from scratchvae.backend.allocation import SharedMemory, dumps, loads
from scratchvae.mpi.ranks import Message, Ranks
from scratchvae.training.pieces import BoundPieces, Exchange, Node, PieceStep
from scratchvae.training.workers import Barrier
from scratchvae.types import Item, Result

BUCKET = 1 << 16  # numbers of the gradient that are sent at once at least, if it is not the rest


class Plan(NamedTuple):
    """What the ranks have of a batch: the nodes of each, and which to add to which."""

    nodes: list[list[Node]]  # by rank
    additions: list[tuple[Node, Node]]
    first: Node  # where the sum arises


class Staging:
    """Where MPI reads and writes the numbers of a device's arrays.

    ``reached``: in the arrays themselves. Otherwise each array has page-locked memory of the host
    beside it, of its shape, allocated when it is first asked for. The device copies between the
    two while the host goes on; MPI may touch that memory only after ``synchronize``.
    """

    def __init__(self, bk: Backend, reached: bool) -> None:
        self.bk, self.reached = bk, reached
        self._beside: dict[int, tuple[Array, Any]] = {}  # by the identity of an array, which lives

    def of(self, a: Array) -> Any:
        """What MPI reads and writes in place of ``a``, an array that lasts as long as the step."""
        if self.reached:
            return a
        if id(a) not in self._beside:
            self._beside[id(a)] = a, self.bk.page_locked(a.shape, a.dtype)
        return self._beside[id(a)][1]

    def fetch(self, a: Array, start: int = 0, stop: int | None = None) -> None:
        """Begin to copy the numbers ``start`` … ``stop`` − 1 to where MPI reads them."""
        if not self.reached:
            self.bk.start_to_host(a[start:stop], self.of(a)[start:stop])

    def load(self, a: Array, start: int = 0, stop: int | None = None) -> None:
        """Begin to copy what MPI has written into the array."""
        if not self.reached:
            self.bk.start_load(self.of(a)[start:stop], a[start:stop])


class MessageExchange(Exchange):
    """The exchange of a rank with the others, by messages.

    ``overlap``: the gradients of the last layers are sent while those of the first are computed.
    On one machine this takes a little longer than sending all at the end (docs/scaling.md).
    """

    def __init__(self, ranks: Ranks, overlap: bool = False) -> None:
        self.ranks, self.overlap = ranks, overlap
        self.rank, self.size = ranks.rank, ranks.size
        self.comm = ranks.comm
        self._others = [rank for rank in range(self.size) if rank != self.rank]
        self._messages: list[Message] = []
        self._plans: dict[int, Plan] = {}

    def bind(self, step: PieceStep) -> None:
        self.step, name = step, step.bk.name
        aware = name == "cuda" and takes_device_arrays(self.ranks.mpi.__file__)
        self.staging = Staging(step.bk, reached=name == "cpu" or aware)
        self.stretch = [step.stretch_of_rank(rank) for rank in range(self.size)]
        self.counts = [stop - start for start, stop in self.stretch]
        self.starts = [start for start, _ in self.stretch]
        self.per_rank = [len(share) for share in step.shares]
        self.buckets = self._cut_buckets()
        self._received: dict[tuple[int, int], Array] = {}
        self._plans.clear()

    def _cut_buckets(self) -> list[tuple[int, int]]:
        """Stretches of the gradient that are sent at once, in the order in which they are ready."""
        stop = self.step.params.flat.size
        if not self.overlap:
            return [(0, stop)]
        buckets = []
        for start in sorted(self.step.starts.values(), reverse=True):
            if stop - start >= BUCKET or start == 0:
                buckets.append((start, stop))
                stop = start
        return buckets

    def announce(self, action: str, *numbers: int) -> None:
        if self.rank == 0:
            self.ranks.announce(action, *numbers)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterable[Result]:
        return self.ranks.map(function, items)

    # ---- the gradient ------------------------------------------------------------------------

    def begin(self, batch: BoundPieces) -> None:
        self._batch, self._sent = batch, 0
        self._plan = plan = self._plan_of(batch)
        own = self.stretch[self.rank]
        for rank in self._others:
            for k in range(len(plan.nodes[rank])):
                received = self.staging.of(self._buffer(rank, k))
                for number, bucket in enumerate(self.buckets):
                    start, stop = _common(bucket, own)
                    if start < stop:
                        into = received[start - own[0] : stop - own[0]]
                        self._messages.append(self.comm.Irecv(into, rank, _tag(number, k)))

    def ready(self, start: int, stop: int) -> None:
        while self._sent < len(self.buckets) and start <= self.buckets[self._sent][0]:
            self._send(self._sent)
            self._sent += 1

    def _send(self, number: int) -> None:
        """Give a bucket of the gradient to the ranks that update it."""
        staging, sent = self.staging, []
        for k in range(len(self._batch.nodes)):
            flat = self.step.gradient_buffer(k).flat
            for rank in self._others:
                start, stop = _common(self.buckets[number], self.stretch[rank])
                if start < stop:
                    staging.fetch(flat, start, stop)
                    sent.append((staging.of(flat)[start:stop], rank, _tag(number, k)))
        self.step.bk.synchronize()
        self._messages += [self.comm.Isend(*each) for each in sent]

    def finish(self) -> None:
        if not self._batch.pieces:  # a short batch has left this rank without rows
            self.ready(0, 0)
        self._complete()
        for rank in self._others:
            for k in range(len(self._plan.nodes[rank])):
                self.staging.load(self._buffer(rank, k))
        self._add(self._buffer)

    def _add(self, buffer: Callable[[int, int], Array]) -> None:
        """The sum of all nodes in this rank's stretch of the gradient.

        ``buffer(rank, k)`` has this rank's stretch of node ``k`` of another rank.
        """
        step, plan, known = self.step, self._plan, {}
        own = slice(*self.stretch[self.rank])
        gradient = step.grads.flat[own]
        for rank, nodes in enumerate(plan.nodes):
            for k, node in enumerate(nodes):
                if rank != self.rank:
                    known[node] = buffer(rank, k)
                else:
                    known[node] = step.gradient_buffer(k).flat[own] if k else gradient
        for left, right in plan.additions[:-1]:
            step.bk.xp.add(known[left], known[right], out=known[left])
        if plan.additions:
            left, right = plan.additions[-1]
            step.bk.xp.add(known[left], known[right], out=gradient)
        elif plan.first not in plan.nodes[self.rank]:  # where it is, it is in its place
            gradient[...] = known[plan.first]

    def _plan_of(self, batch: BoundPieces) -> Plan:
        if batch.rows not in self._plans:
            tree = batch.tree
            nodes = [tree.nodes_within(s.start, s.stop) for s in self.step.shares]
            known = [node for each in nodes for node in each]
            self._plans[batch.rows] = Plan(nodes, tree.additions(known), known[0])
        return self._plans[batch.rows]

    def _buffer(self, rank: int, k: int) -> Array:
        """Where node ``k`` of another rank arrives, this rank's stretch of it."""
        if (rank, k) not in self._received:
            self._received[rank, k] = self.step.bk.empty((self.counts[self.rank],))
        return self._received[rank, k]

    def _complete(self) -> None:
        self.ranks.wait(self._messages)
        self._messages.clear()

    # ---- parameters, norms, moments, losses --------------------------------------------------

    def _shown(self, *arrays: Array) -> list[Any]:
        """Where MPI reads the present numbers of these arrays, and may write."""
        for a in arrays:
            self.staging.fetch(a)
        self.step.bk.synchronize()
        return [self.staging.of(a) for a in arrays]

    def share_stretches(self, flat: Array) -> None:
        there, own = self.staging.of(flat), slice(*self.stretch[self.rank])
        self.staging.fetch(flat, own.start, own.stop)
        self.step.bk.synchronize()  # also for what has arrived before: its place is free again
        others = [(rank, *self.stretch[rank]) for rank in self._others if self.counts[rank]]
        for rank, start, stop in others:
            self._messages.append(self.comm.Irecv(there[start:stop], rank))
        if self.counts[self.rank]:
            self._messages += [self.comm.Isend(there[own], rank) for rank in self._others]
        self._complete()
        for _, start, stop in others:
            self.staging.load(flat, start, stop)

    def share_norms(self, norms: Sequence[Array]) -> None:
        in_place, shown = self.ranks.mpi.IN_PLACE, self._shown(*norms)
        self._messages += [self.comm.Iallgatherv(in_place, [a, self.per_rank]) for a in shown]
        self._complete()
        for a in norms:
            self.staging.load(a)

    def collect(self, moments: Sequence[Array], losses: Array) -> None:
        for flat in self._shown(*moments):
            whole = [flat, (self.counts, self.starts)] if self.rank == 0 else None
            own = flat if self.rank else self.ranks.mpi.IN_PLACE
            self._messages.append(self.comm.Igatherv(own, whole))
        self._complete()
        mine, columns = self.step.mine, self.step.bk.to_host(losses)
        found = self.ranks.gather(np.ascontiguousarray(columns[:, mine.start : mine.stop]))
        if found is None:
            return
        for rank, share in enumerate(self.step.shares):
            if rank:
                columns[:, share.start : share.stop] = found[rank]
        for a in moments:
            self.staging.load(a)
        self.step.bk.load(columns, losses)

    def spread(self, params: Array, moments: Sequence[Array]) -> None:
        there, *shown = self._shown(params, *moments)
        self._messages.append(self.comm.Ibcast(there))
        for flat in shown:
            whole = [flat, (self.counts, self.starts)] if self.rank == 0 else None
            own = flat if self.rank else self.ranks.mpi.IN_PLACE
            self._messages.append(self.comm.Iscatterv(whole, own))
        self._complete()
        for a in (params, *moments):
            self.staging.load(a)

    def broadcast(self, values: Array) -> None:
        self._messages.append(self.comm.Ibcast(*self._shown(values)))
        self._complete()
        self.staging.load(values)


class FastExchange(MessageExchange):
    """The exchange by MPI's own reduction, which adds in an order that depends on the ranks."""

    def begin(self, batch: BoundPieces) -> None:
        self._batch = batch

    def ready(self, start: int, stop: int) -> None:
        """Nothing: the gradient is reduced as a whole."""

    def finish(self) -> None:
        flat = self.step.grads.flat
        if not self._batch.nodes:
            flat.fill(0)
        for k in range(1, len(self._batch.nodes)):
            flat += self.step.gradient_buffer(k).flat
        own, (shown,) = self._buffer(self.rank, 0), self._shown(flat)
        self._messages.append(self.comm.Ireduce_scatter(shown, self.staging.of(own), self.counts))
        self._complete()
        self.staging.load(own)
        flat[slice(*self.stretch[self.rank])] = own


class MemoryExchange(MessageExchange):
    """The exchange of ranks on one machine, each of which reads the others' memory.

    Nothing is sent in a step: where all have arrived, a rank adds the others' gradients in their
    place, and copies what they have updated.
    """

    shares_memory = True

    def __init__(self, ranks: Ranks, barrier: Barrier) -> None:
        super().__init__(ranks)
        self._barrier = barrier  # keeps its memory
        self._arrive = barrier.join(ranks.rank, lambda waited: None)  # rank 0 watches the others

    def bind(self, step: PieceStep) -> None:
        super().bind(step)
        own = [buffer.flat for buffer in step.gradients], step.params.flat
        offers = self.ranks.broadcast(self.ranks.gather(offer(own, step.bk.shared_memory)))
        self.theirs = {rank: take(*offers[rank]) for rank in self._others}

    def begin(self, batch: BoundPieces) -> None:
        self._batch, self._plan = batch, self._plan_of(batch)

    def ready(self, start: int, stop: int) -> None:
        """Nothing: the others read the gradient when it is complete."""

    def finish(self) -> None:
        self._arrive()
        own = slice(*self.stretch[self.rank])
        self._add(lambda rank, k: self.theirs[rank][0][k][own])

    def share_stretches(self, flat: Array) -> None:
        self._arrive()
        for rank in self._others:
            stretch = slice(*self.stretch[rank])
            flat[stretch] = self.theirs[rank][1][stretch]


Offer = tuple[bytes, list[tuple[str, int, int]]]


def offer(obj: object, memory: SharedMemory | None) -> Offer:
    """What a process on this machine needs to have ``obj``, with the same memory in its arrays."""
    content, files = dumps(obj, memory)
    about = [os.fstat(file) for file in files]
    paths = [f"/proc/{os.getpid()}/fd/{file}" for file in files]
    return content, [
        (path, each.st_dev, each.st_ino) for path, each in zip(paths, about, strict=True)
    ]


def take(content: bytes, files: Sequence[tuple[str, int, int]]) -> Any:
    """What another process offers; ``OSError`` where it is on another machine."""
    opened: list[int] = []
    try:
        for path, *identity in files:
            opened.append(os.open(path, os.O_RDWR))
            found = os.fstat(opened[-1])
            if [found.st_dev, found.st_ino] != identity:  # of a process of the same number
                raise FileNotFoundError(path)
        return loads(content, opened)
    finally:
        for file in opened:
            os.close(file)


def shared_barrier(ranks: Ranks, bk: Backend) -> Barrier | None:
    """A barrier for all ranks, where each can read the memory of each; None anywhere else."""
    memory = bk.for_workers(ranks.size).shared_memory
    near = ranks.comm.Split_type(ranks.mpi.COMM_TYPE_SHARED)  # as MPI is told to see it
    if not ranks.all_say(near.size == ranks.size and memory is not None):
        return None
    barrier = Barrier(memory, ranks.size) if memory and ranks.rank == 0 else None
    offered = ranks.broadcast(barrier and offer(barrier, memory))
    with suppress(OSError):
        barrier = barrier or take(*offered)
    return barrier if ranks.all_say(barrier is not None) else None


def takes_device_arrays(library: str) -> bool:
    """Whether the MPI of a library sends what lies on a CUDA device, as Open MPI and MPICH tell.

    ``library``: the file of mpi4py's module, through which the functions of its MPI are found.
    """
    found = ctypes.CDLL(library)
    if hasattr(found, "MPIX_Query_cuda_support"):
        return bool(found.MPIX_Query_cuda_support())
    return False


def _common(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """The numbers that two stretches have in common."""
    return max(a[0], b[0]), min(a[1], b[1])


def _tag(bucket: int, node: int) -> int:
    return 64 * bucket + node  # a rank has at most two nodes per level of the tree
