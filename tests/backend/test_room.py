"""An array that no machine has room for is refused in words, by whoever would make it."""

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.backend.allocation import MOST_BYTES, checked_nbytes
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


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("verb", ["empty", "zeros", "host_empty"])
def test_a_backend_refuses_what_no_machine_has_room_for(device: str, verb: str) -> None:
    with pytest.raises(MemoryError, match=r"shape \(1099511627776, 1099511627776\) is larger"):
        getattr(get_backend(device), verb)(HUGE)


@pytest.mark.parametrize("draw", [normal, uniform])
def test_noise_refuses_it_too(draw) -> None:
    with pytest.raises(MemoryError, match="is larger than any memory"):
        draw(HUGE, Stream(0, Purpose.LATENT))
