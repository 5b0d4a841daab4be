"""A training step whose rows are cut into pieces, so that its bits depend on the pieces alone.

The gradient of a batch is the sum of the gradients of its pieces, added in the order of a fixed
tree: (0 + 1) + (2 + 3) for four. Which process computes a piece, and where, changes no bit. One
process computes all of them here; :mod:`scratchvae.mpi` divides them among ranks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

from scratchvae.backend import Array, Backend, HostArray
from scratchvae.layers import BoundLayer, complete
from scratchvae.memory import ALIGNED_ELEMENTS, FlatBuffer, FlatStretch, Workspace
from scratchvae.models import Model
from scratchvae.optim import Optimizer
from scratchvae.optim.base import BoundOptimizer
from scratchvae.training.partition import Partition, row_ranges
from scratchvae.training.prepared import Prepared, make_batches
from scratchvae.training.step import Batches, BatchRows, BoundBatch, TrainingStep, Weighting
from scratchvae.types import Item, Result

Node = tuple[int, int]  # of the tree: the sum of the pieces start … stop − 1


class Tree:
    """The order in which the gradients of pieces are added; a piece without rows is left out.

    A node of n pieces is cut after the largest power of two below n. ``filled``: for each piece,
    whether it has rows.
    """

    def __init__(self, filled: Sequence[bool]) -> None:
        self.filled = tuple(filled)
        self.root: Node = (0, len(self.filled))

    def has_rows(self, node: Node) -> bool:
        """Whether any piece of the node has rows."""
        return any(self.filled[slice(*node)])

    def children(self, node: Node) -> list[Node]:
        """The halves of a node that have rows."""
        start, stop = node
        middle = start + (1 << (stop - start - 1).bit_length() - 1)
        return [half for half in ((start, middle), (middle, stop)) if self.has_rows(half)]

    def nodes_within(self, first: int, end: int) -> list[Node]:
        """The largest nodes whose pieces all lie in ``first`` … ``end`` − 1, in order."""

        def within(node: Node) -> Iterator[Node]:
            start, stop = node
            if not self.has_rows(node) or stop <= first or end <= start:
                return
            if first <= start and stop <= end:
                yield node
                return
            for child in self.children(node):
                yield from within(child)

        return list(within(self.root))

    def additions(self, known: Sequence[Node], node: Node | None = None) -> list[tuple[Node, Node]]:
        """Which known node is added to which, (to, from), until the first holds the whole sum.

        ``node``: up to this one; unless given, up to the root.
        """
        node = self.root if node is None else node
        if node in known:
            return []
        children = self.children(node)
        steps = [step for child in children for step in self.additions(known, child)]
        if len(children) == 2:
            left, right = (self._place(child, known) for child in children)
            steps.append((left, right))
        return steps

    def _place(self, node: Node, known: Sequence[Node]) -> Node:
        """Where the sum of a node arises: in the first of the known nodes in it."""
        while node not in known:
            node = self.children(node)[0]
        return node


class Block(NamedTuple):
    """A stretch of the gradient: the layer that writes it, and what is then added to what.

    ``layer`` is None for parameters of the likelihood, and of a flow that is no network, whose
    gradient comes with that of the inputs.
    """

    layer: BoundLayer | None
    start: int
    stop: int
    additions: list[tuple[Array, Array]]  # the right one is added to the left one


class Piece(NamedTuple):
    """A piece of a batch on the buffers of one process, with the noise of a lane of its own."""

    rows: BatchRows
    blocks: list[Block]  # in the order of their computation, from the end of the network


class BoundPieces(NamedTuple):
    """A batch of ``rows`` rows: the pieces that this process computes, and the nodes they sum to.

    The sum of ``nodes[k]`` ends in gradient buffer k. ``partitions`` are the stretches of the flat
    buffers, one for each piece, whichever process updates them.
    """

    rows: int
    tree: Tree
    pieces: list[Piece]
    nodes: list[Node]
    partitions: list[Partition]

    @property
    def parts(self) -> list[BatchRows]:
        """The rows of the piece computed last, which the buffers hold."""
        return [self.pieces[-1].rows]


class Exchange:
    """How the processes that share the pieces of a step reach each other; this one is alone.

    ``begin`` and ``finish`` enclose the computation of a gradient, in which ``ready`` tells the
    stretches that are final.
    """

    rank, size = 0, 1
    shares_memory = False  # whether the ranks need a step's buffers in memory that they share

    def bind(self, step: "PieceStep") -> None:
        """Learn the buffers of a step, before its first gradient."""

    def announce(self, action: str, *numbers: int) -> None:
        """Tell the other ranks which method of their step to call next, with which numbers."""

    def begin(self, batch: BoundPieces) -> None:
        """A gradient of this batch is computed next."""

    def ready(self, start: int, stop: int) -> None:
        """This process will not change the numbers ``start`` … ``stop`` − 1 of its nodes again."""

    def finish(self) -> None:
        """Leave the sum of all pieces' gradients in this process's stretches of the gradient."""

    def share_stretches(self, flat: Array) -> None:
        """Give every process the stretches of a flat buffer that the others have written."""

    def share_norms(self, norms: Sequence[Array]) -> None:
        """Give every process the elements of all stretches: ``norms`` have one for each."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterable[Result]:
        """function(item) of every item, in order, divided among the ranks."""
        return map(function, items)

    def collect(self, moments: Sequence[Array], losses: Array) -> None:
        """Give rank 0 the stretches of ``moments`` and the columns of ``losses`` of all ranks."""

    def spread(self, params: Array, moments: Sequence[Array]) -> None:
        """Give all ranks the parameters of rank 0, and each its stretches of the moments."""

    def broadcast(self, values: Array) -> None:
        """Give all ranks the values of rank 0."""


ALONE = Exchange()


class PieceStep(TrainingStep):
    """A :class:`TrainingStep` whose rows are cut into ``pieces``.

    Piece k of step t draws its noise from lane k of the streams of step t, and its gradient is
    computed from its own rows alone; then the gradients of the pieces are added by a
    :class:`Tree`. So the bits depend on the number of pieces, and not on the number of processes.
    Each process computes some of the pieces (none, if there are more processes), adds up their
    gradients as far as the tree allows, and updates as many stretches of the parameters. Rank 0
    leads: its calls are announced to the others, which make the same calls.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        batches: Batches,
        *,
        pieces: int,
        weighting: Weighting | None = None,
        exchange: Exchange = ALONE,
    ) -> None:
        self.pieces = pieces
        self.stretches = even_stretches(model.vae.layout.padded_size, pieces)
        self.starts: dict[str, int] = {}  # of each layer's parameters in the flat buffers
        for name, offset in model.vae.layout.offsets.items():
            self.starts.setdefault(name.rpartition(".")[0], offset)
        self._use(exchange)
        self._workspace = Workspace(model.bk, -(-batches.batch_size // pieces))
        self.gradients: list[FlatBuffer] = []  # the first is ``grads``
        super().__init__(
            model, optimizer, batches, weighting=weighting, blas_threads=1, captured=False
        )
        self.piece_losses = self.bk.zeros((self.steps_per_epoch, pieces))
        self._gathered = True  # losses and moments of all steps so far
        exchange.bind(self)

    def _use(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.over = exchange.map if exchange.size > 1 else None
        cuts = [-(-self.pieces * rank // exchange.size) for rank in range(exchange.size + 1)]
        self.shares = [range(*share) for share in pairwise(cuts)]  # of pieces and stretches
        self.mine = self.shares[exchange.rank]
        # Of the smallest models, a stretch may be empty.
        self.own_parts = [k for k in self.mine if self.stretches[k].start < self.stretches[k].stop]

    # ---- buffers -----------------------------------------------------------------------------

    def _bind(  # type: ignore[override]
        self, workspace: Workspace, whole: object = None
    ) -> BoundPieces:
        """The pieces of a batch of as many rows; they take turns in the buffers of one piece."""
        ranges = row_ranges(workspace.n_rows, self.pieces)
        tree = Tree([start < stop for start, stop in ranges])
        nodes = tree.nodes_within(self.mine.start, self.mine.stop)
        pieces = []
        for base, node in enumerate(nodes):
            for number, into, additions in _turns(tree, node, base):
                pieces.append(self._bind_piece(number, *ranges[number], into, additions))
        partitions = [Partition(stretch, ()) for stretch in self.stretches]
        return BoundPieces(workspace.n_rows, tree, pieces, nodes, partitions)

    def _bind_piece(
        self, number: int, start: int, stop: int, into: int, additions: list[tuple[int, int]]
    ) -> Piece:
        """Piece ``number``, whose gradient goes into that buffer, before these additions."""
        workspace = self._workspace.rows(0, stop - start)
        piece = BatchRows(self, start, workspace, self.gradient_buffer(into), lane=number)
        bound = piece.bound
        networks = (s for network in bound.networks for s in network.layers)
        layers = {s.label: s for s in (*bound.flow.layers, *networks)}
        blocks, end = [], self.vae.layout.padded_size
        for label, begin in sorted(self.starts.items(), key=lambda each: -each[1]):
            layer = layers.get(label)
            sums = [
                tuple(self.gradient_buffer(k).flat[begin:end] for k in pair) for pair in additions
            ]
            blocks.append(Block(layer, begin, end, cast(list[tuple[Array, Array]], sums)))
            end = begin
        return Piece(piece, blocks)

    def gradient_buffer(self, number: int) -> FlatBuffer:
        """The flat buffer in which node ``number`` of a batch is summed; the first is ``grads``."""
        while len(self.gradients) <= number:
            new = FlatBuffer(self.bk, self.vae.layout) if self.gradients else self.grads
            self.gradients.append(new)
        return self.gradients[number]

    def _bind_optimizer(
        self, optimizer: Optimizer, partitions: Sequence[Partition]
    ) -> BoundOptimizer:
        """Rank 0 has all moments, for checkpoints; another rank those of its stretches alone."""
        if self.exchange.rank == 0:
            return super()._bind_optimizer(optimizer, partitions)
        start, stop = self.stretch_of_rank(self.exchange.rank)
        own = [FlatStretch(buffer, start, stop) for buffer in (self.params, self.grads)]
        parts = [
            slice(s.start - start, s.stop - start) if k in self.mine else slice(0, 0)
            for k, s in enumerate(self.stretches)
        ]
        return optimizer.bind(self.bk, own[0], own[1], parts)

    def stretch_of_rank(self, rank: int) -> tuple[int, int]:
        """Where the stretches begin and end that a rank updates; a rank without pieces has none."""
        share = self.shares[rank]
        return (self.stretches[share[0]].start, self.stretches[share[-1]].stop) if share else (0, 0)

    # ---- a step ------------------------------------------------------------------------------

    def __call__(self, t: int, i: int, count: int = 1) -> None:
        """``count`` steps in a row, as in :class:`TrainingStep`."""
        self._gathered = False
        for k in range(count):
            self.exchange.announce("step", t + k, i + k)
            self.step(t + k, i + k)

    def step(self, t: int, i: int) -> None:
        """This rank's part of a step."""
        optimizer, rate = self.optimizer, self.optimizer.rule.schedule(t)
        self._gradient(t, i)
        with self.bk.ignore_float_errors():
            if optimizer.needs_barrier:
                for part in self.own_parts:
                    optimizer.measure_norm(part)
                self.exchange.share_norms((optimizer.scales, optimizer.squares))
            for part in self.own_parts:
                optimizer.step(t, part, rate)
        self.exchange.share_stretches(self.params.flat)

    def _gradient(self, t: int, i: int) -> None:
        """The gradient of a batch, in this rank's stretches, and the losses of its pieces."""
        bk, batch, now = self.bk, cast(BoundPieces, self._batch(i)), self.inputs(t, i)
        weight = self.weighting.of_image(batch.rows)
        self.exchange.begin(batch)
        # As in any step, the loop finds losses that are not finite; finite ones may overflow.
        with bk.ignore_float_errors():
            for piece in batch.pieces:
                last, bound, number = piece is batch.pieces[-1], piece.rows.bound, piece.rows.lane
                piece.rows.load(now, bound.x, bound.eps)
                complete(bound.loss_and_input_grads(weight, now.beta))
                loss = self.piece_losses[i, number : number + 1]
                bk.xp.sum(bound.objective.reshape(1, -1), axis=1, out=loss)
                for layer, start, stop, additions in piece.blocks:
                    if layer is not None:
                        layer.layer.grad_params(bk, layer.x, layer.dy, layer.g)
                    for left, right in additions:  # as soon as they are due, still in the cache
                        bk.xp.add(left, right, out=left)
                    if last:
                        self.exchange.ready(start, stop)
            self.exchange.finish()

    # ---- what rank 0 has of the others ---------------------------------------------------------

    def start_epoch(self, order: HostArray) -> None:
        self.exchange.announce("take_order")
        super().start_epoch(order)
        self.take_order()

    def take_order(self) -> None:
        """Learn the order of an epoch from rank 0."""
        self.exchange.broadcast(self.order)

    def gather(self) -> None:
        if self._gathered:
            return
        self._gathered = True
        self.exchange.announce("collect")
        self.collect()
        total = self.losses.reshape(-1)
        total[...] = self.piece_losses[:, 0]
        for piece in range(1, self.pieces):
            total += self.piece_losses[:, piece]

    def collect(self) -> None:
        """Give rank 0 this rank's moments and losses."""
        moments = [buffer.flat for buffer in self.optimizer.state.values()]
        self.exchange.collect(moments, self.piece_losses)

    def share(self) -> None:
        self.exchange.announce("spread")
        self.piece_losses.fill(0)
        self.piece_losses[:, :1] = self.losses
        self.spread()

    def spread(self) -> None:
        """Take the parameters, and this rank's stretches of the moments, from rank 0."""
        moments = [buffer.flat for buffer in self.optimizer.state.values()]
        self.exchange.spread(self.params.flat, moments)

    # ---- the search for an infinity, by one process --------------------------------------------

    def close(self) -> None:
        """Let the other ranks leave the training."""
        super().close()
        self.exchange.announce("leave")

    def leave_ranks(self) -> None:
        """From now on compute all pieces in this process, to the same bits."""
        if self.exchange.size > 1:
            self.exchange.announce("leave")
            self._use(ALONE)
            for name in ("full", "last"):
                rows = getattr(self, name).rows
                setattr(self, name, self._bind(Workspace(self.bk, rows)))

    def gradient(self, t: int, i: int) -> BoundBatch:
        self._gradient(t, i)
        return self.fill(t, i)

    def fill(self, t: int, i: int) -> BoundBatch:
        batch, now = cast(BoundPieces, self._batch(i)), self.inputs(t, i)
        workspace = Workspace(self.bk, batch.rows)
        bound = self.vae.bind(workspace, self.params, self.grads)
        for piece in batch.pieces:
            rows = slice(piece.rows.start, piece.rows.stop)
            piece.rows.load(now, bound.x[rows], bound.eps[rows])
        return BoundBatch(bound, bound.objective.reshape(1, -1), batch.parts, [])


def make_piece_step(prepared: Prepared, bk: Backend, exchange: Exchange = ALONE) -> PieceStep:
    """The step of a training whose settings say in how many pieces; on every rank the same."""
    config = prepared.config
    bk = bk.for_workers(exchange.size if exchange.shares_memory else 1)
    return PieceStep(
        Model(prepared.vae, bk, seed=config.seed),
        prepared.optimizer or config.make_optimizer(),
        make_batches(prepared, bk),
        pieces=config.pieces,
        weighting=Weighting(config.reduction, config.kl_warmup),
        exchange=exchange,
    )


def _turns(tree: Tree, node: Node, base: int) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """The pieces of a node in order: (piece, the buffer of its gradient, what to add behind it).

    The sum of the node ends in buffer ``base``; an addition (a, b) adds buffer b to buffer a.
    """
    children = tree.children(node) if node[1] - node[0] > 1 else []
    if not children:
        yield node[0], base, []
    for k, child in enumerate(children):
        *before, (number, into, additions) = _turns(tree, child, base + k)
        yield from before
        yield number, into, additions + [(base, base + 1)] * k


def even_stretches(size: int, count: int) -> list[slice]:
    """``size`` numbers in ``count`` stretches of about the same length, on cache lines."""
    lines = size // ALIGNED_ELEMENTS
    cuts = [ALIGNED_ELEMENTS * (lines * k // count) for k in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(cuts)]
