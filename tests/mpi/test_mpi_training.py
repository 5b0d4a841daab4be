"""A training by several ranks: the bits of one, whatever their number and the way between them."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import NETWORK, SMALL, checkpoint, ip, namespaces, run

from scratchvae.mpi.exchange import takes_device_arrays

pytestmark = pytest.mark.mpi
# 230 images in batches of 50: the last batch of an epoch has 30.
FOUR_PIECES = ("train", *SMALL, "--epochs", "2", "--pieces", "4", "--clip", "0.5")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checkpoint of one rank."""
    folder = tmp_path_factory.mktemp("alone")
    code, _, err = run(1, *FOUR_PIECES, "--out", "one", cwd=folder)
    assert code == 0, err
    return checkpoint(folder / "one")


@pytest.mark.parametrize("ranks", [2, 4, pytest.param(3, marks=pytest.mark.long)])
def test_the_bits_do_not_depend_on_the_number_of_ranks(alone, ranks, tmp_path):
    code, out, err = run(ranks, *FOUR_PIECES, "--out", "some", cwd=tmp_path)
    assert code == 0, err
    assert checkpoint(tmp_path / "some") == alone
    assert out.count("run: some") == 1  # rank 0 alone prints


@pytest.mark.long
@pytest.mark.parametrize("ranks", [3, 5])
def test_the_bits_do_not_depend_on_ranks_that_have_no_piece(ranks, tmp_path):
    words = ("train", *SMALL, "--epochs", "2", "--out")
    for n in (1, ranks):
        code, _, err = run(n, *words, f"r{n}", cwd=tmp_path)
        assert code == 0, err
    assert checkpoint(tmp_path / "r1") == checkpoint(tmp_path / f"r{ranks}")
    assert f"{ranks - 2} of the {ranks} ranks have none" in err


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.long)])
def test_a_device_with_memory_of_its_own_computes_the_same_bits(alone, ranks, tmp_path):
    words = (*FOUR_PIECES, "--device", "strict", "--out", "strict")
    code, _, err = run(ranks, *words, cwd=tmp_path)
    assert code == 0, err
    assert checkpoint(tmp_path / "strict") == alone


@pytest.mark.parametrize("answer", [0, 1, None])
def test_mpi_itself_says_whether_it_sends_what_lies_on_a_device(answer, monkeypatch):
    library = SimpleNamespace() if answer is None else SimpleNamespace(
        MPIX_Query_cuda_support=lambda: answer
    )  # fmt: skip
    monkeypatch.setattr("scratchvae.mpi.exchange.ctypes.CDLL", {"MPI.so": library}.get)
    assert takes_device_arrays("MPI.so") is bool(answer)


@pytest.mark.gpu
def test_two_ranks_on_a_gpu_compute_the_bits_of_one(tmp_path):
    words = (*FOUR_PIECES, "--device", "cuda", "--out")
    for ranks in (1, 2):
        code, _, err = run(ranks, *words, f"r{ranks}", cwd=tmp_path, CUDA_VISIBLE_DEVICES="0")
        assert code == 0, err
    assert checkpoint(tmp_path / "r1") == checkpoint(tmp_path / "r2")


def test_two_machines_of_a_network_compute_the_same_bits(alone, tmp_path):
    with namespaces(2) as places:
        network = NETWORK | ({"UCX_NET_DEVICES": "net0"} if places else {})
        code, _, err = run(2, *FOUR_PIECES, "--out", "far", cwd=tmp_path, before=places, **network)
        assert code == 0, err
        if places:  # the gradients have crossed it
            sent = ip("-n", places[0][-1], "-s", "link", "show", "net0").split("TX:")[1]
            assert int(sent.split()[6]) > 100_000
    assert checkpoint(tmp_path / "far") == alone


@pytest.mark.long
def test_the_noise_of_pixels_does_not_depend_on_the_ranks(tmp_path):
    words = (*FOUR_PIECES, "--binarize", "dynamic", "--out")
    for n in (1, 3):
        assert run(n, *words, f"r{n}", cwd=tmp_path)[0] == 0
    assert checkpoint(tmp_path / "r1") == checkpoint(tmp_path / "r3")


@pytest.mark.long
def test_a_sum_in_any_order_trains_the_same_model_up_to_its_last_bits(tmp_path):
    losses = []
    for order in ("fixed", "any"):
        code, out, err = run(
            2, *FOUR_PIECES, "--sum-order", order, "--out", order, "--json", cwd=tmp_path
        )
        assert code == 0, err
        losses.append(json.loads(out)["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.long
def test_a_run_of_two_ranks_goes_on_alone_and_by_three_to_the_same_bits(tmp_path: Path):
    words = ("train", *SMALL, "--pieces", "4", "--epochs")
    assert run(2, *words, "1", "--out", "run", cwd=tmp_path)[0] == 0
    for ranks, epochs in ((1, 2), (3, 3)):
        more = ("--epochs", epochs, "--change-settings")
        code, _, err = run(ranks, "train", "--resume", "run", *more, cwd=tmp_path)
        assert code == 0, err
    assert run(1, *words, "3", "--out", "whole", cwd=tmp_path)[0] == 0
    assert checkpoint(tmp_path / "run") == checkpoint(tmp_path / "whole")
