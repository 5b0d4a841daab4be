"""An array that no machine has room for is refused in words, wherever it would be made."""

import os

import numpy as np
import pytest

from scratchvae.backend import allocation, get_backend
from scratchvae.backend.allocation import MOST_BYTES, checked_nbytes, require_memory
from scratchvae.backend.noise import Purpose, Stream, normal, uniform

HUGE = (2**40, 2**40)  # 2⁸⁰: as an int64, their product is 0


def test_the_memory_of_an_array_is_counted_in_bytes_without_overflow() -> None:
    assert checked_nbytes((3, 5), "float64") == 120
    assert checked_nbytes((), np.float32) == 4
    assert checked_nbytes((0, 7), "float32") == 0
    assert checked_nbytes((MOST_BYTES,), "uint8") == MOST_BYTES
    for shape in (HUGE, (10**30,), (MOST_BYTES + 1,)):
        with pytest.raises(MemoryError, match="is larger than any memory"):
            checked_nbytes(shape, "uint8")


def test_what_this_machine_has_no_room_for_is_refused_with_both_sizes(monkeypatch) -> None:
    monkeypatch.setattr(allocation, "_machine_memory", lambda: 8_000_000_000)
    require_memory(8_000_000_000, "a model")
    with pytest.raises(MemoryError, match=r"a model needs 9\.0 GB, and this machine has 8\.0 GB"):
        require_memory(9_000_000_000, "a model")
    monkeypatch.setattr(allocation, "_machine_memory", lambda: None)  # the system does not say
    require_memory(2**62, "a model")


def test_the_memory_of_this_machine_is_that_of_the_system() -> None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert pages <= allocation._machine_memory() < 2**50


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("verb", ["empty", "zeros", "host_empty"])
def test_a_backend_refuses_what_no_machine_has_room_for(device: str, verb: str) -> None:
    with pytest.raises(MemoryError, match=r"shape \(1099511627776, 1099511627776\) is larger"):
        getattr(get_backend(device), verb)(HUGE)


@pytest.mark.parametrize("draw", [normal, uniform])
def test_noise_refuses_it_too(draw) -> None:
    with pytest.raises(MemoryError, match="is larger than any memory"):
        draw(HUGE, Stream(0, Purpose.LATENT))
