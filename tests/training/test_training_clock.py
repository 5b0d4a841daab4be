"""The clock of a recorded step: what each step finds on the device, and where the clock stands."""

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.training.clock import Clock

ORDER = np.array([[3, 1], [0, 2], [5, 4]])
RATES, BETAS = [0.1, 0.2, 0.4], [0.0, 0.5, 1.0]


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_every_step_finds_its_images_its_rate_and_its_weight_of_the_kl(device: str) -> None:
    bk = get_backend(device, "float64")
    order, losses = bk.zeros(ORDER.shape, "int64"), bk.zeros((3, 1))
    bk.load(ORDER, order)
    clock = Clock(bk, order, losses)
    clock.set(8, 1, RATES, BETAS)
    assert clock.next == (8, 1)
    inputs = clock.inputs(2, None)
    for step in (1, 2):
        clock.begin()
        found = [bk.to_host(a).tolist() for a in (inputs.t, inputs.index, inputs.lr, inputs.beta)]
        assert found == [7 + step, ORDER[step].tolist(), RATES[step], BETAS[step]]
        bk.load(np.array([2.5 * step]), inputs.loss)
        clock.end()
    assert bk.to_host(losses).tolist() == [[0.0], [2.5], [5.0]]


def test_a_last_batch_is_shorter_and_a_weight_that_never_changes_is_a_number() -> None:
    bk = get_backend("cpu")
    inputs = Clock(bk, bk.zeros((3, 2), "int64"), bk.zeros((3, 1))).inputs(1, 0.25)
    assert (inputs.index.shape, inputs.beta) == ((1,), 0.25)
