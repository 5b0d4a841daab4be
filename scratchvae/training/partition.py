"""How the images of a batch, and the parameters of a model, are divided among workers."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from scratchvae.backend import Backend
from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError
from scratchvae.layers import BoundLayer
from scratchvae.memory import Layout, Workspace
from scratchvae.models import VAE, BoundVAE
from scratchvae.training.workers import can_fork
from scratchvae.versions import cores

MOST_WORKERS = 4
# Multiplications a step, below which the meetings cost as much as they save:
WORTH_SHARING = 5e6  # among processes
WORTH_BLAS_THREADS = 5e7  # among threads inside BLAS, which meet in every product


class Share(NamedTuple):
    """One worker's parameters: a stretch of the flat buffer, and the layers it lies in."""

    flat: slice
    layers: tuple[tuple[BoundLayer, slice], ...]  # with the rows of the layer's first parameter

    def on(self, buffers: Workspace) -> "Share":
        """The same share with layers that work in buffers of its worker's own."""
        own = (
            (s._replace(layer=s.layer.bound_to(buffers, s.x.shape[1:])), rows)
            for s, rows in self.layers
        )
        return self._replace(layers=tuple(own))


def resolve_workers(config: TrainConfig, bk: Backend, pixels: int) -> TrainConfig:
    """The settings with the number of workers, where they leave it to the rule.

    As many as there are cores and at most four, for models whose step is worth sharing; one on
    any other device or system than Linux, for likelihoods with parameters and for objectives of
    the whole batch.
    ``ConfigError`` for what cannot be.
    """
    whole_batch = config.make_estimator().whole_batch
    able = (
        bk.name == "cpu"
        and can_fork()
        and not config.make_likelihood().parameters(pixels)
        and not whole_batch
    )
    if config.workers == 0:
        worth = multiplications(config.make_vae(pixels), config.batch_size) >= WORTH_SHARING
        most = min(cores(), MOST_WORKERS, config.batch_size // 2)
        return replace(config, workers=max(most, 1) if able and worth else 1)
    if config.workers > 1 and whole_batch:
        raise ConfigError(
            f"workers is {config.workers}, but free bits need the mean KL of the whole batch: "
            "set workers to 1"
        )
    if config.workers > 1 and not able:
        raise ConfigError(
            f"workers is {config.workers}, but only a step on the CPU, on Linux, with a likelihood "
            "without parameters, can be shared: set it to 1"
        )
    if config.workers > cores():
        raise ConfigError(f"workers is {config.workers}, but there are {cores()} cores")
    if config.workers > config.batch_size:
        raise ConfigError(
            f"workers is {config.workers}, but a batch has only {config.batch_size} images"
        )
    return config


def multiplications(vae: VAE, batch_size: int) -> int:
    """Those of a step's matrix products, forward and backward."""
    return 3 * batch_size * vae.macs_per_image()


def row_shares(rows: int, workers: int) -> list[tuple[int, int]]:
    """Start and stop of each worker's images."""
    return list(pairwise(round(rows * k / workers) for k in range(workers + 1)))


def parameter_shares(bound: BoundVAE, layout: Layout, workers: int) -> list[Share]:
    """The flat buffer in ``workers`` stretches of about equal work, cut between rows of some W."""
    found: list[Rows] = []
    done = 0.0
    for slot in (*bound.encoder.layers, *bound.decoder.layers):
        row = slot.x.shape[1:]
        for name, (shape, _) in slot.layer.parameters(row).items():
            offset = layout.offsets[f"{slot.label}.{name}"]
            work = slot.layer.macs_per_row(row) / shape[0]
            found.append(Rows(slot, offset, shape[0], math.prod(shape[1:]), done, work))
            done += slot.layer.macs_per_row(row)
            break  # the other parameters follow in the buffer and go with the last row
    cuts = [0, *(_cut(found, done * k / workers) for k in range(1, workers)), layout.padded_size]
    shares = []
    for start, stop in pairwise(cuts):
        layers = []
        for layer in found:
            first, last = layer.before(start), layer.before(stop)
            if first < last:
                layers.append((layer.slot, slice(first, last)))
        shares.append(Share(slice(start, stop), tuple(layers)))
    return shares


class Rows(NamedTuple):
    """The rows of a layer's first parameter: where they lie, and what their gradients cost."""

    slot: BoundLayer
    offset: int  # of the first in the flat buffer
    rows: int
    width: int  # numbers in a row
    done: float  # multiplications of the layers before
    work: float  # multiplications of a row

    def before(self, offset: int) -> int:
        """How many of the rows begin before ``offset``."""
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
