"""The reduction: how ranks add the gradients of their pieces, and share what each has updated.

Every rank updates a stretch of the parameters, and holds the moments of that stretch alone. It
receives the others' gradients of its stretch, adds them in the order of the tree, updates, and
gives the new parameters to all. An MPI that knows CUDA is handed the arrays of a device; for any
other, they are copied to the host and back. Each number of the gradient and of the parameters so
travels once per rank, and no rank adds or updates what another does.
"""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import Array
from scratchvae.mpi.ranks import Message, Ranks
from scratchvae.training.pieces import BoundPieces, Exchange, Node, PieceStep
from scratchvae.types import Item, Result

BUCKET = 1 << 16  # numbers of the gradient that are sent at once at least, if it is not the rest


class Plan(NamedTuple):
    """What the ranks have of a batch: the nodes of each, and which to add to which."""

    nodes: list[list[Node]]  # by rank
    additions: list[tuple[Node, Node]]
    first: Node  # where the sum arises


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
        self.direct = name == "cpu" or aware
        self.xp = step.bk.xp if self.direct else np  # of the arrays that messages fill
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

    # ---- host and device -----------------------------------------------------------------------

    def _host(self, a: Array) -> Any:
        """An array that MPI can read: ``a`` itself if it can, else a copy of it on the host."""
        if not self.direct:
            return self.step.bk.to_host(a)
        self.step.bk.synchronize()  # MPI does not wait for the device
        return a

    def _room(self, a: Array) -> Any:
        """Where MPI can write what ``a`` is to hold: ``a`` itself if it can, else on the host."""
        return a if self.direct else self.step.bk.host_empty(a.shape)

    def _load(self, arrived: Any, a: Array) -> None:
        """Bring what has arrived into ``a``, from where MPI could write it."""
        if self.direct and arrived is not a:
            a[...] = arrived
        elif not self.direct:
            self.step.bk.load(arrived, a)

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
                received = self._buffer(rank, k)
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
        for k in range(len(self._batch.nodes)):
            flat = self.step.gradient_buffer(k).flat
            for rank in self._others:
                start, stop = _common(self.buckets[number], self.stretch[rank])
                if start < stop:
                    sent = self._host(flat[start:stop])
                    self._messages.append(self.comm.Isend(sent, rank, _tag(number, k)))

    def finish(self) -> None:
        if not self._batch.pieces:  # a short batch has left this rank without rows
            self.ready(0, 0)
        self._complete()
        plan, known = self._plan, {}
        start, stop = self.stretch[self.rank]
        for rank, nodes in enumerate(plan.nodes):
            for k, node in enumerate(nodes):
                mine = rank == self.rank
                own = self.step.gradient_buffer(k).flat[start:stop]
                known[node] = self._host(own) if mine else self._buffer(rank, k)
        gradient = self.step.grads.flat[start:stop]
        result = self._host(gradient)
        for left, right in plan.additions[:-1]:
            self.xp.add(known[left], known[right], out=known[left])
        if plan.additions:
            left, right = plan.additions[-1]
            self.xp.add(known[left], known[right], out=result)
        elif plan.first not in plan.nodes[self.rank]:  # where it is, it is in its place
            result[...] = known[plan.first]
        self._load(result, gradient)

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
            empty = self.step.bk.empty if self.direct else self.step.bk.host_empty
            self._received[rank, k] = empty((self.counts[self.rank],))
        return self._received[rank, k]

    def _complete(self) -> None:
        self.ranks.wait(self._messages)
        self._messages.clear()

    # ---- parameters, norms, moments, losses --------------------------------------------------

    def share_stretches(self, flat: Array) -> None:
        own, arrived = self._host(flat[slice(*self.stretch[self.rank])]), []
        for rank in self._others:
            theirs = flat[slice(*self.stretch[rank])]
            if theirs.size:
                into = self._room(theirs)
                arrived.append((into, theirs))
                self._messages.append(self.comm.Irecv(into, rank))
            if own.size:
                self._messages.append(self.comm.Isend(own, rank))
        self._complete()
        for into, theirs in arrived:
            self._load(into, theirs)

    def share_norms(self, norms: Sequence[Array]) -> None:
        in_place, copies = self.ranks.mpi.IN_PLACE, [self._host(a) for a in norms]
        self._messages += [self.comm.Iallgatherv(in_place, [a, self.per_rank]) for a in copies]
        self._complete()
        for copy, a in zip(copies, norms, strict=True):
            self._load(copy, a)

    def collect(self, moments: Sequence[Array], losses: Array) -> None:
        copies = [self._host(flat) for flat in moments]
        for flat in copies:
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
        for copy, a in zip(copies, moments, strict=True):
            self._load(copy, a)
        self.step.bk.load(columns, losses)

    def spread(self, params: Array, moments: Sequence[Array]) -> None:
        copies = [self._host(a) for a in (params, *moments)]
        self._messages.append(self.comm.Ibcast(copies[0]))
        for flat in copies[1:]:
            whole = [flat, (self.counts, self.starts)] if self.rank == 0 else None
            own = flat if self.rank else self.ranks.mpi.IN_PLACE
            self._messages.append(self.comm.Iscatterv(whole, own))
        self._complete()
        for copy, a in zip(copies, (params, *moments), strict=True):
            self._load(copy, a)

    def broadcast(self, values: Array) -> None:
        copy = self._host(values)
        self._messages.append(self.comm.Ibcast(copy))
        self._complete()
        self._load(copy, values)


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
        own = self._buffer(self.rank, 0)
        self._messages.append(self.comm.Ireduce_scatter(self._host(flat), own, self.counts))
        self._complete()
        self._load(own, flat[slice(*self.stretch[self.rank])])


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
