"""Whole training steps with the CUDA backend's launches, recorded, replayed and emulated.

What stays for a machine with a GPU: cuBLAS, CuPy's own functions, and the graph itself.
"""

import numpy as np
import pytest
from emulation import EmulatedBackend
from steps import CASES, make_step, run, settings

pytestmark = pytest.mark.gxx
STEPS = 7  # an epoch of five with a short batch at its end, and two more


@pytest.mark.parametrize("case", CASES)
def test_the_cuda_backends_steps_are_those_of_numpy(case, monkeypatch, distance):
    config, bk = settings(case, dtype="float64"), EmulatedBackend(dtype="float64")
    monkeypatch.setattr("scratchvae.training.step.MAX_STEPS_PER_LAUNCH", 2)
    recorded, plain = make_step(config, bk), make_step(config)
    before = bk.device.allocations, bk.device.synchronizations
    recorded(1, 0)  # in capture, an allocation or a wait is an error
    assert (bk.device.allocations, bk.device.synchronizations) == before
    plain(1, 0)
    found = run(recorded, config, 5, STEPS)
    np.testing.assert_allclose(found, run(plain, config, 1, STEPS), rtol=1e-11)
    for name, a in plain.params.to_host().items():
        assert distance(recorded.params.to_host()[name], a) < 1e-10, name


def test_the_step_of_a_dense_vae_is_all_kernels(monkeypatch):
    """The operations that were written as kernels are the ones that a step launches."""
    config, bk = settings("adam", binarize="dynamic"), EmulatedBackend()
    launched: list[str] = []
    launch = type(bk.kernels).launch
    monkeypatch.setattr(
        type(bk.kernels), "launch", lambda *a: (launched.append(a[1]), launch(*a))[1]
    )
    make_step(config, bk)(1, 0)
    assert set(launched) == {
        "begin_step", "gather_uint8", "binarize", "normal", "relu", "bernoulli_nll_and_grad",
        "relu_grad", "sum_rows", "norm_by_block", "join_norms", "clip", "adam", "end_step",
    }  # fmt: skip
