"""How the images of a batch, and the parameters of a model, are divided among workers."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from scratchvae.backend import Backend
from scratchvae.errors import ConfigError
from scratchvae.layers import BoundLayer
from scratchvae.memory import Layout, Workspace
from scratchvae.models import VAE, BoundVAE
from scratchvae.training.workers import can_share, why_unpicklable
from scratchvae.versions import cores

MOST_WORKERS = 4
# Multiplications per step below which the barriers cost as much as they save:
WORTH_SHARING = 5e6  # among processes
WORTH_BLAS_THREADS = 5e7  # among threads inside BLAS, which wait for each other in every product


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


def row_ranges(rows: int, workers: int) -> list[tuple[int, int]]:
    """(start, stop) of each worker's share of the ``rows`` of a batch."""
    return list(pairwise(round(rows * k / workers) for k in range(workers + 1)))


def partition_parameters(bound: BoundVAE, layout: Layout, workers: int) -> list[Partition]:
    """Cut the flat buffer into ``workers`` stretches of about equal work, between rows of W."""
    found: list[Rows] = []
    done = 0.0
    of_networks = (slot for network in bound.networks for slot in network.layers)
    for slot in (*bound.flow.layers, *of_networks):
        row = slot.x.shape[1:]
        for name, (shape, _) in slot.layer.parameters(row).items():
            offset = layout.offsets[f"{slot.label}.{name}"]
            work = slot.layer.macs_per_row(row) / shape[0]
            found.append(Rows(slot, offset, shape[0], math.prod(shape[1:]), done, work))
            done += slot.layer.macs_per_row(row)
            break  # the other parameters follow in the buffer and go with the last row
    cuts = [0, *(_cut(found, done * k / workers) for k in range(1, workers)), layout.padded_size]
    partitions = []
    for start, stop in pairwise(cuts):
        layers = []
        for layer in found:
            first, last = layer.before(start), layer.before(stop)
            if first < last:
                layers.append((layer.slot, slice(first, last)))
        partitions.append(Partition(slice(start, stop), tuple(layers)))
    return partitions


class Rows(NamedTuple):
    """The rows of a layer's first parameter: their place in the flat buffer, and their work."""

    slot: BoundLayer
    offset: int  # of the first in the flat buffer
    rows: int
    width: int  # numbers in a row
    done: float  # multiplications of the layers before
    work: float  # multiplications of a row

    def before(self, offset: int) -> int:
        """The number of rows that start before ``offset`` of the flat buffer."""
        return min(max(-(-(offset - self.offset) // self.width), 0), self.rows)


def _cut(found: list[Rows], target: float) -> int:
    """The beginning of the row before which the work done is nearest to ``target``."""
    best, cut = float("inf"), 0
    for layer in found:
        row = min(max(round((target - layer.done) / layer.work), 0), layer.rows - 1)
        missed = abs(layer.done + row * layer.work - target)
        if missed < best:
            best, cut = missed, layer.offset + row * layer.width
    return cut
