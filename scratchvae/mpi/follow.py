"""What the ranks other than 0 do, and how a training of several ranks begins.

Rank 0 trains as one process does. The others make the same step of the same settings and data, and
take part in it whenever rank 0 announces one of its methods.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchvae.backend import Backend, get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, load_dataset, select
from scratchvae.errors import ConfigError
from scratchvae.mpi.exchange import (
    FastExchange,
    MemoryExchange,
    MessageExchange,
    shared_barrier,
)
from scratchvae.mpi.guardian import agree_to_end
from scratchvae.mpi.ranks import Ranks
from scratchvae.training.pieces import ALONE, Exchange, PieceStep, make_piece_step
from scratchvae.training.prepared import Prepared, prepare

ROWS_OF_FOUR = 200  # of a batch that is worth four pieces: less than 50 rows take longer each


def serve(ranks: Ranks) -> int:
    """Do what rank 0 announces until the job ends; the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # rank 0 decides what they mean
    while True:
        action, numbers = ranks.next_action()
        if action == "end":
            agree_to_end()
            return numbers[0]
        if action == "map":
            ranks.take_part_in_map()
        else:
            follow_training(ranks)


def pieces_for(batch_size: int) -> int:
    """The pieces of a step where the settings leave them open, whatever the number of ranks."""
    return min(2 if batch_size < ROWS_OF_FOUR else 4, batch_size)


def note_on(pieces: int, batch_size: int, size: int) -> str | None:
    """A sentence, where there are more ranks than pieces; ``ConfigError`` for more than images."""
    if size > batch_size:
        raise ConfigError(
            f"there are {size} ranks, but a batch has only {batch_size} images: start fewer ranks, "
            "or set a larger --batch-size"
        )
    if size <= pieces:
        return None
    return (
        f"a batch of {batch_size} images is cut into {pieces} pieces, so that {size - pieces} of "
        f"the {size} ranks have none: --pieces {1 << (size - 1).bit_length()} has one for each "
        "(and other last bits)"
    )


def lead_training(
    ranks: Ranks | None,
    prepared: Prepared,
    bk: Backend,
    where: Any,
    note: Callable[[str], object],
) -> Exchange:
    """Let the other ranks make the same training, and compare; the way to them.

    ``where``: the data's source and folder, for data that each rank reads as a whole. Data in
    files are sent as what rank 0 knows of the files, which the others then open, too. ``note`` is
    told of ranks that have no work. ``ConfigError`` where a rank has other data, and for more
    ranks than images in a batch.
    """
    if ranks is None:
        return ALONE
    config = prepared.config
    trouble = note_on(config.pieces, config.batch_size, ranks.size)
    if trouble is not None:
        note(trouble)
    ranks.announce("train")
    data = prepared.dataset if prepared.dataset.in_files else where
    ranks.broadcast((prepared.given.to_json(), bk.name, bk.compiled, data))
    return meet(ranks, prepared, bk)


def follow_training(ranks: Ranks) -> None:
    """Take part in a training until rank 0 has nothing more to announce about its step."""
    settings, device, compiled, data = ranks.broadcast()
    config = TrainConfig.from_json(settings)
    if not isinstance(data, Dataset):
        source, folder = data
        whole = load_dataset(source, folder and Path(folder), quiet=True, reading=config.reading)
        data = select(whole, config.subset)
    prepared = prepare(config, data)
    bk = get_backend(device, config.dtype, compiled=compiled)
    follow(ranks, make_piece_step(prepared, bk, meet(ranks, prepared, bk)))


def follow(ranks: Ranks, step: PieceStep) -> None:
    """Call the methods of a step that rank 0 announces, until it leaves the training."""
    with step:
        while True:
            action, numbers = ranks.next_action()
            if action == "leave":
                return
            if action == "map":
                ranks.take_part_in_map()
                continue
            getattr(step, action)(*numbers[:2] if action == "step" else ())


def meet(ranks: Ranks, prepared: Prepared, bk: Backend) -> Exchange:
    """The exchange of a training, once all ranks are known to have the same data and device.

    Of data in files, which only rank 0 has read as a whole, a sample is compared.
    """
    dataset = prepared.dataset
    known = dataset.sampled() if dataset.in_files else dataset.fingerprint
    facts = ranks.gather({"data": known, "device": bk.name})
    if facts is not None:
        ranks.require_same(facts)
    if prepared.config.sum_order == "any":
        return FastExchange(ranks)
    barrier = shared_barrier(ranks, bk)
    return MessageExchange(ranks) if barrier is None else MemoryExchange(ranks, barrier)
