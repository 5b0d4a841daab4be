"""The exchange between two ranks: which memory MPI is handed, and when; memory that they share."""

import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jobs import NETWORK, finish, launch

from scratchvae.backend import Backend, get_backend
from scratchvae.backend.strict import Array, StrictBackend
from scratchvae.models import VAE, Model
from scratchvae.mpi.exchange import MessageExchange, offer, take
from scratchvae.optim import Adam
from scratchvae.training import Batches
from scratchvae.training.pieces import ALONE, Exchange, PieceStep

IMAGES = np.random.default_rng(0).integers(0, 2, (23, 12), dtype=np.uint8)
STEPS = 6  # of five rows; the last of an epoch has three


class Comm:
    """As much of an MPI as a step asks for; ``aware``: it can read the memory of a device."""

    def __init__(self, rank: int, aware: bool, post: dict[Any, SimpleQueue]) -> None:
        self.rank, self.aware, self.post = rank, aware, post
        self.handed: set[type] = set()

    def memory(self, a: Any) -> Any:
        self.handed.add(type(a))
        return a._a if self.aware and isinstance(a, Array) else memoryview(a)

    def Isend(self, a: Any, rank: int, tag: int = 0) -> Any:
        self.post.setdefault((self.rank, rank, tag), SimpleQueue()).put(np.array(self.memory(a)))
        return lambda: None

    def Irecv(self, a: Any, rank: int, tag: int = 0) -> Any:
        letters = self.post.setdefault((rank, self.rank, tag), SimpleQueue())
        into = np.asarray(self.memory(a))
        return lambda: np.copyto(into, letters.get(timeout=20))


class Ranks:
    """A rank of two, which waits for a message by taking it."""

    size, mpi = 2, SimpleNamespace(__file__="MPI.so")

    def __init__(self, comm: Comm) -> None:
        self.rank, self.comm = comm.rank, comm

    def wait(self, messages: list[Any]) -> None:
        for each in messages:
            each()


def train(bk: Backend, exchange: Exchange) -> tuple[Any, list[int]]:
    """The parameters after some steps, and the allocations of the device up to each of them."""
    batches = Batches(bk.array(IMAGES, "uint8"), 1, 5, 0)
    model = Model(VAE.mlp(12, (7,), latent_dim=2), bk, seed=0)
    step = PieceStep(model, Adam(), batches, pieces=4, exchange=exchange)
    bk.load(np.arange(23), step.order)
    allocations = []
    for t in range(1, STEPS + 1):
        step.step(t, (t - 1) % step.steps_per_epoch)
        allocations.append(bk.device.allocations if isinstance(bk, StrictBackend) else 0)
    return bk.to_host(model.params.flat), allocations


@pytest.fixture
def two_ranks(monkeypatch):
    """two_ranks(aware): parameters, allocations and the kinds of memory that MPI was handed."""

    def run(aware: bool) -> list[tuple[Any, list[int], set[type]]]:
        monkeypatch.setattr(StrictBackend, "name", "cuda")
        monkeypatch.setattr(
            "scratchvae.mpi.exchange.takes_device_arrays", {"MPI.so": aware}.__getitem__
        )
        post: dict[Any, SimpleQueue] = {}

        def rank(number: int) -> tuple[Any, list[int], set[type]]:
            comm = Comm(number, aware, post)
            found = train(get_backend("strict"), MessageExchange(Ranks(comm)))
            return *found, comm.handed

        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(rank, range(2)))

    return run


@pytest.mark.parametrize("aware", [True, False])
def test_two_ranks_compute_the_bits_of_one_whatever_mpi_can_reach(aware, two_ranks):
    alone, _ = train(get_backend("cpu", compiled=False), ALONE)
    for params, _, _ in two_ranks(aware):
        assert params.tobytes() == alone.tobytes()


def test_an_mpi_that_knows_the_device_is_handed_its_arrays(two_ranks):
    assert [handed for _, _, handed in two_ranks(True)] == [{Array}] * 2


def test_any_other_mpi_is_handed_page_locked_memory(two_ranks):
    strict = get_backend("strict")
    assert [handed for _, _, handed in two_ranks(False)] == [{type(strict.page_locked((1,)))}] * 2


@pytest.mark.parametrize("aware", [True, False])
def test_no_step_after_the_first_of_each_length_allocates_anything(aware, two_ranks):
    for _, allocations, _ in two_ranks(aware):
        assert allocations[0] == allocations[3]  # four steps of five rows
        assert allocations[4] == allocations[5]


# ---- memory that ranks share ---------------------------------------------------------------------


def test_what_a_rank_takes_is_the_memory_that_another_offers():
    bk = get_backend("cpu", compiled=False).for_workers(2)
    ours = bk.zeros((1000,))
    theirs = take(*offer({"gradient": ours[10:20]}, bk.shared_memory))["gradient"]
    ours[12] = 5
    assert theirs.tolist() == [0, 0, 5, 0, 0, 0, 0, 0, 0, 0]


def test_a_file_of_another_process_with_the_same_number_is_not_taken(tmp_path):
    bk = get_backend("cpu", compiled=False).for_workers(2)
    content, (file, *rest) = offer(bk.zeros((1000,)), bk.shared_memory)
    (tmp_path / "other").write_bytes(bytes(8000))
    with pytest.raises(FileNotFoundError):
        take(content, [(str(tmp_path / "other"), *file[1:]), *rest])


WAY = """
from scratchvae.backend import get_backend
from scratchvae.mpi.exchange import shared_barrier
from scratchvae.mpi.ranks import connect
ranks = connect()
bk = get_backend({!r}, "float32", compiled=False)
print("messages" if shared_barrier(ranks, bk) is None else "memory")
"""


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("device", "network", "way"),
    [("cpu", {}, "memory"), ("cpu", NETWORK, "messages"), ("strict", {}, "messages")],
)
def test_ranks_share_memory_where_mpi_sees_them_on_one_machine(device, network, way, tmp_path):
    words = ["-n", "2", sys.executable, "-c", WAY.format(device)]
    code, out, err = finish(launch(words, tmp_path, **network))
    assert (code, out) == (0, f"{way}\n"), err
