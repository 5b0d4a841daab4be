"""How workers divide a step: the rows of a batch, the units of a layer, and the parameters."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from scratchvae.backend import Backend
from scratchvae.errors import ConfigError
from scratchvae.layers import BoundLayer, BoundSequential, Turn
from scratchvae.memory import Layout, Workspace
from scratchvae.models import VAE, BoundVAE
from scratchvae.training.workers import can_share, why_unpicklable
from scratchvae.versions import cores

MOST_WORKERS = 4
# Multiplications per step below which the barriers cost as much as they save:
WORTH_SHARING = 5e6  # among processes
WORTH_BLAS_THREADS = 5e7  # among threads inside BLAS, which wait for each other in every product
# BLAS rearranges all weights of a product first, for however few rows. So two workers are faster
# with half of the units of all rows each than with all units of half of the rows, although they
# wait for each other before and after it: a step takes 0.8 of the time at 16 rows, 0.94 at 100, and
# 1.06 at 128.
FEW_ROWS = 112
MANY_WEIGHTS = 1 << 14  # for which it is worth meeting
UNITS = 16  # units are divided at multiples of this: a cache line
UPDATE = 64  # multiplications in a product that take as long as the update of one number (measured)


class Partition(NamedTuple):
    """One worker's parameters: a stretch of the flat buffer, and the layers that it covers."""

    flat: slice
    layers: tuple[tuple[BoundLayer, slice], ...]  # with the rows of the layer's first parameter

    def on(self, buffers: Workspace) -> "Partition":
        """The same partition, with layers bound to the worker's private ``buffers``."""
        own = (
            (s._replace(layer=s.layer.bound_to(buffers, s.x.shape[1:])), rows)
            for s, rows in self.layers
        )
        return self._replace(layers=tuple(own))


def resolve_workers(
    workers: int,
    batch_size: int,
    bk: Backend,
    vae: VAE,
    note: Callable[[str], object] = lambda text: None,
) -> int:
    """The number of workers that divide a step: ``workers``, or chosen by rule if that is 0.

    The rule: one per core, up to four, if the step is large enough to be worth it. One worker on
    devices other than the CPU and systems other than Linux, for likelihoods with parameters, for
    objectives of the whole batch, and, with a ``note`` that says why, for models that cannot be
    pickled. ``ConfigError`` for a number that the model, the device or the batch does not allow.
    """
    whole_batch, parameters = vae.estimator.whole_batch, vae.likelihood.parameters(vae.modelled)
    divisible = bk.name == "cpu" and not parameters and not whole_batch
    if workers == 0:
        most = min(cores(), MOST_WORKERS, batch_size // 2)
        worth = most > 1 and multiplications(vae, batch_size) >= WORTH_SHARING
        if not (divisible and worth and can_share()):
            return 1
        trouble = why_unpicklable(vae)
        if trouble is not None:
            note(f"one process computes the step, not {most}: {trouble}")
        return most if trouble is None else 1
    if workers > 1 and whole_batch:
        raise ConfigError(
            f"workers is {workers}, but free bits need the mean KL of the whole batch: "
            "set workers to 1"
        )
    if workers > 1 and not divisible:
        raise ConfigError(
            f"workers is {workers}, but only a step on the CPU, with a likelihood without "
            "parameters, can be shared: set it to 1"
        )
    if workers > batch_size:
        raise ConfigError(f"workers is {workers}, but a batch has only {batch_size} images")
    return workers


def require_pieces(pieces: int, batch_size: int, vae: VAE) -> None:
    """``ConfigError`` unless a batch can be cut into ``pieces``."""
    if vae.estimator.whole_batch:
        raise ConfigError(
            f"pieces is {pieces}, but free bits need the mean KL of the whole batch, which cannot "
            "be cut: set pieces to 0, and start one process"
        )
    if pieces > batch_size:
        raise ConfigError(f"pieces is {pieces}, but a batch has only {batch_size} images")


def multiplications(vae: VAE, batch_size: int) -> int:
    """Multiplications in the matrix products of a step, forward and backward."""
    return 3 * batch_size * vae.macs_per_image()


def row_ranges(rows: int, workers: int, even: bool = False) -> list[tuple[int, int]]:
    """(start, stop) of each worker's share of the ``rows`` of a batch; ``even``: even starts."""
    cuts = [round(rows * k / workers) for k in range(workers + 1)]
    if even:  # where a row's noise begins is then an even position of its stream
        cuts[1:-1] = [cut - cut % 2 for cut in cuts[1:-1]]
    return list(pairwise(cuts))


def divide_units(own: BoundSequential, whole: BoundSequential, worker: int, workers: int) -> None:
    """Let ``worker`` compute some units of all rows where that is faster than all units of its own.

    ``own``: the network on the rows of this worker; ``whole``: on those of the batch.
    """
    if whole.y.shape[0] > FEW_ROWS:
        return
    pairs = list(zip(own.layers, whole.layers, strict=True))
    own.forward_turns = _turns(pairs, lambda s: _some_of_y(s, worker, workers))
    backward = [pair for pair in pairs[::-1] if pair[0].dx is not None]
    own.backward_turns = _turns(backward, lambda s: _some_of_dx(s, worker, workers))


def _turns(
    pairs: Iterable[tuple[BoundLayer, BoundLayer]],
    share: Callable[[BoundLayer], BoundLayer | None],
) -> tuple[Turn, ...]:
    """Each layer on some units of all rows, where ``share`` can make that, or on some rows.

    The workers meet before a layer on some units, which reads what all of them have computed, and
    before one on some rows, if the units of these rows come from several workers.
    """
    turns, by_units = [], False
    for mine, whole in pairs:
        many = sum(a.size for a in vars(mine.p).values()) >= MANY_WEIGHTS
        some = share(whole) if many else None
        turns.append(Turn(by_units or some is not None, some or mine))
        by_units = some is not None
    return (*turns, Turn(True, None)) if by_units else tuple(turns)


def _some_of_y(s: BoundLayer, worker: int, workers: int) -> BoundLayer | None:
    """A layer on the worker's units of y; None if it needs all to compute any."""
    units = _share_of_units(s.y.shape[-1], worker, workers)
    p = s.layer.for_units(s.p, units)
    return None if p is None else s._replace(p=p, y=s.y[:, units])


def _some_of_dx(s: BoundLayer, worker: int, workers: int) -> BoundLayer | None:
    """A layer on the worker's numbers of dx; None if it needs all to compute any."""
    if s.dx is None or s.tmp is None:
        return None
    rows, units = s.dx.shape[0], _share_of_units(s.dx.shape[-1], worker, workers)
    p = s.layer.for_inputs(s.p, units)
    tmp = s.tmp.reshape(-1)[rows * units.start : rows * units.stop].reshape(rows, -1)
    return None if p is None else s._replace(p=p, dx=s.dx[:, units], tmp=tmp)


def _share_of_units(count: int, worker: int, workers: int) -> slice:
    """The units that a worker computes; it may have none of a narrow layer."""
    cuts = (UNITS * round(count * k / workers / UNITS) for k in range(1, workers))
    return [slice(*cut) for cut in pairwise((0, *(min(cut, count) for cut in cuts), count))][worker]


def stretches_of_equal_work(bound: BoundVAE, layout: Layout, workers: int) -> list[slice]:
    """Cut the flat buffer into ``workers`` stretches of about equal work, between rows of W.

    The work is the gradient, from all rows of a batch with all their samples, and the update.
    """
    found = list(_rows_of_parameters(bound, layout))
    done = found[-1].done + found[-1].rows * found[-1].work
    cuts = [0, *(_cut(found, done * k / workers) for k in range(1, workers)), layout.padded_size]
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def partition_parameters(
    bound: BoundVAE, layout: Layout, stretches: Sequence[slice]
) -> list[Partition]:
    """The layers that each of the ``stretches`` of the flat buffer covers, for one batch."""
    partitions = []
    for stretch in stretches:
        layers = []
        for layer in _rows_of_parameters(bound, layout):
            first, last = layer.before(stretch.start), layer.before(stretch.stop)
            if first < last:
                layers.append((layer.slot, slice(first, last)))
        partitions.append(Partition(stretch, tuple(layers)))
    return partitions


class Rows(NamedTuple):
    """The rows of a layer's first parameter: their place in the flat buffer, and their work."""

    slot: BoundLayer
    offset: int  # of the first in the flat buffer
    rows: int
    width: int  # numbers in a row
    done: float  # the work of the layers before, in multiplications
    work: float  # that of a row

    def before(self, offset: int) -> int:
        """The number of rows that start before ``offset`` of the flat buffer."""
        return min(max(-(-(offset - self.offset) // self.width), 0), self.rows)


def _rows_of_parameters(bound: BoundVAE, layout: Layout) -> Iterator[Rows]:
    """The rows of every layer that has parameters, in the order of the flat buffer."""
    done = 0.0
    of_networks = (slot for network in bound.networks for slot in network.layers)
    for slot in (*bound.flow.layers, *of_networks):
        row = slot.x.shape[1:]
        for name, (shape, _) in slot.layer.parameters(row).items():
            offset, size = layout.offsets[f"{slot.label}.{name}"], math.prod(shape)
            work = slot.x.shape[0] * slot.layer.macs_per_row(row) + UPDATE * size
            yield Rows(slot, offset, shape[0], size // shape[0], done, work / shape[0])
            done += work
            break  # the other parameters follow in the buffer and go with the last row


def _cut(found: list[Rows], target: float) -> int:
    """The beginning of the row before which the work done is nearest to ``target``."""
    best, cut = float("inf"), 0
    for layer in found:
        row = min(max(round((target - layer.done) / layer.work), 0), layer.rows - 1)
        missed = abs(layer.done + row * layer.work - target)
        if missed < best:
            best, cut = missed, layer.offset + row * layer.width
    return cut
