"""The strict device refuses what a GPU would do silently, and counts what it allows."""

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.backend.base import Backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.backend.strict import Array, CaptureError, StrictBackend, TransferError
from scratchvae.errors import ScratchVAEError
from scratchvae.layers import Layer
from scratchvae.layers.activations import relu, relu_grad
from scratchvae.likelihoods.bernoulli import bernoulli_nll_and_grad, bernoulli_nll_terms

PLAIN_OPERATIONS = ("gemm", "sum_rows", "gather", "uniform", "normal")
PLAIN = {name: getattr(Backend, name) for name in PLAIN_OPERATIONS} | {"fused_forms": {}}
PlainNumpyBackend = type("PlainNumpyBackend", (NumpyBackend,), PLAIN)
PlainStrictBackend = type("PlainStrictBackend", (StrictBackend,), PLAIN)  # CuPy's, without CuPy


@pytest.fixture
def bk():
    return get_backend("strict", "float64")


@pytest.fixture
def a(bk):
    return bk.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])


HOST = np.ones((2, 3))


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.array,
        np.sum,
        lambda a: np.array([a, a]),
        lambda a: np.concatenate([a, a]),
        lambda a: HOST.copy().__setitem__(slice(None), a),
        lambda a: np.copyto(HOST.copy(), a),
    ],
)
def test_a_device_array_does_not_become_a_host_array_unasked(a, convert):
    with pytest.raises(TypeError):
        convert(a)


@pytest.mark.parametrize(
    "mix",
    [
        lambda a: a + HOST,
        lambda a: HOST + a,
        lambda a: HOST @ a.T,
        lambda a: a < HOST,
        lambda a: a.__iadd__(HOST),
        lambda a: a.__setitem__(slice(None), HOST),
        lambda a: a[np.array([1, 0])],
        lambda a: a[[0, 1], np.array([1, 0])],
    ],
)
def test_a_host_array_and_a_device_array_do_not_mix(a, mix):
    with pytest.raises(TransferError, match=r"a host array of shape .* met a device array"):
        mix(a)


def test_a_host_array_is_not_added_to_in_place(a):
    host = HOST.copy()
    with pytest.raises(TypeError):
        host += a


def test_functions_of_the_namespace_take_device_arrays_only(bk, a):
    with pytest.raises(TransferError):
        bk.xp.add(a, HOST)
    with pytest.raises(TransferError):
        bk.xp.exp(a, out=HOST.copy())
    with pytest.raises(TransferError):
        bk.xp.where(HOST > 0, a, 0)
    with pytest.raises(TransferError):
        bk.load(a, bk.empty((2, 3)))  # load copies from the host, not from the device


def test_iterating_over_a_device_array_is_refused(a):
    with pytest.raises(TransferError, match="element by element"):
        list(a)
    with pytest.raises(TransferError, match="element by element"):
        max(a)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_fresh_memory_is_filled_with_nan(dtype):
    bk = get_backend("strict", dtype)
    assert np.isnan(bk.to_host(bk.empty((3, 5)))).all()
    assert (bk.to_host(bk.empty((3,), np.uint8)) == 0x5A).all()
    assert not bk.to_host(bk.zeros((3, 5))).any()


def test_allocations_are_counted_and_views_are_not(bk):
    start = bk.device.allocations
    a = bk.empty((4, 6))
    assert bk.device.allocations == start + 1
    _ = a[1:3], a.T, a.reshape(6, 4), a[:, None, :], a.real, a[0, 0], a[..., 2]
    a *= 2.0
    a[...] = 0.0
    bk.xp.exp(a, out=a)
    assert bk.device.allocations == start + 1
    _ = a + 1.0
    _ = bk.xp.exp(a)
    _ = a.T.reshape(-1)  # not possible as a view: a copy
    assert bk.device.allocations == start + 4


def test_reading_what_is_written_through_another_view_is_an_allocation_as_in_cupy(bk, a):
    start = bk.device.allocations
    bk.xp.multiply(a, 2.0, out=a)
    a += a
    bk.xp.add(a[0], 1.0, out=a[1])  # neighbours
    assert bk.device.allocations == start
    bk.xp.multiply(a[:], 2.0, out=a)  # another view of the same
    right = a[:, 1:]
    right += a[:, :2]  # interleaved: their bounds overlap
    a[:, 2:] *= 3.0  # assigns the product to a view of where it lies
    assert bk.device.allocations == start + 3


def test_waits_for_the_device_are_counted(bk, a):
    one = a[0, 0]
    start = bk.device.synchronizations
    for wait in (bk.synchronize, lambda: bk.to_host(a), lambda: float(one), lambda: bool(one)):
        wait()
    assert bk.device.synchronizations == start + 4
    assert (float(one), int(one), complex(one), bool(one)) == (1.0, 1, 1 + 0j, True)


def test_a_reduction_stays_on_the_device(bk, a):
    before = bk.device.synchronizations
    total = bk.xp.sum(a)
    assert isinstance(total, Array)
    assert total.shape == ()
    assert bk.device.synchronizations == before
    assert float(total) == 5.0


@pytest.mark.parametrize("allocate", [lambda bk, a: a + 1.0, lambda bk, a: bk.empty((2,))])
def test_an_allocation_inside_a_captured_step_is_an_error(bk, a, allocate):
    with pytest.raises(CaptureError, match="was allocated inside a captured step"):
        bk.capture(lambda: allocate(bk, a))()


class Swish(Layer):
    """y = x / (1 + e^−x), with the slips of a first attempt."""

    def forward(self, bk, p, x, y):
        y[...] = x / (1.0 + bk.xp.exp(-x))

    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = np.ones(x.shape)


def test_the_slip_of_a_layer_is_named_with_its_line_and_a_way_out(bk, a):
    y = bk.empty((2, 3))
    with pytest.raises(ScratchVAEError) as allocated:
        bk.capture(lambda: Swish().forward(bk, None, a, y))()
    line = Swish.forward.__code__.co_firstlineno + 1
    assert str(allocated.value) == (
        f"Swish.forward (test_strict_device.py, line {line}): an array of shape (2, 3) was "
        "allocated inside a captured step; write into a buffer that is handed in, with out= or +="
    )
    with pytest.raises(ScratchVAEError, match=r"^Swish.grad_input \(.*, line \d+\): a host array"):
        Swish().grad_input(bk, None, a, y, y, y, None)
    with pytest.raises(ScratchVAEError, match=r"^\S+ \(test_strict_device.py, line \d+\): a"):
        np.linalg.norm(a)  # NumPy's own lines are not named


@pytest.mark.parametrize(
    "wait",
    [lambda bk, a: bk.synchronize(), lambda bk, a: bk.to_host(a), lambda bk, a: float(a[0, 0])],
)
def test_a_wait_inside_a_captured_step_is_an_error(bk, a, wait):
    with pytest.raises(CaptureError, match="waits for the device inside a captured step"):
        bk.capture(lambda: wait(bk, a))()


def test_a_captured_step_may_compute_in_place_and_the_capture_ends_with_it(bk, a):
    def step():
        nonlocal a
        a *= 2.0

    captured = bk.capture(step)
    captured()
    captured()
    np.testing.assert_array_equal(bk.to_host(a), [[4, -8, 12], [16, 20, -24]])
    with pytest.raises(CaptureError):
        bk.capture(lambda: a + 1.0)()
    assert bk.to_host(a + 1.0)[0, 0] == 5.0  # outside: allowed again, also after an error


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_verb_runs_without_a_hidden_transfer_and_as_on_the_cpu(plain, dtype):
    cpu = (PlainNumpyBackend if plain else NumpyBackend)(dtype=dtype)
    bk = (PlainStrictBackend if plain else StrictBackend)(dtype=dtype)
    stream = Stream(5, Purpose.LATENT, 3)
    draw = np.random.default_rng(11)
    host = {
        "a": draw.normal(size=(3, 2, 5)), "x": draw.random((3, 1, 5)),
        "left": draw.normal(size=(3, 4)), "right": draw.normal(size=(6, 4)),
    }  # fmt: skip
    images = draw.integers(0, 256, size=(9, 5)).astype(np.uint8)
    index = np.array([8, 0, 3])

    def compute(bk):
        on = {name: bk.array(value) for name, value in host.items()}
        out = {
            name: bk.empty(shape)
            for name, shape in {
                "gemm": (3, 6), "sum_rows": (4,), "gather": (3, 5), "relu": (3, 4),
                "relu_grad": (3, 4), "nll": (3, 2), "da": (3, 2, 5), "terms": (3, 2, 5),
                "uniform": (3, 5), "normal": (5, 3),
            }.items()
        }  # fmt: skip
        (tmp, tmp2), flat_tmp = (bk.empty((3, 2, 5)) for _ in range(2)), bk.empty((3, 4))
        store, order = bk.array(images, np.uint8), bk.array(index, np.int64)
        raw, noise = bk.empty((3, 5), np.uint8), bk.noise_scratch(15)
        waits = bk.device.synchronizations if bk.name == "strict" else 0
        bk.gemm(on["left"], on["right"].T, out["gemm"])
        bk.sum_rows(on["left"], out["sum_rows"])
        bk.gather(store, order, 255, out["gather"], raw)
        bk.compute(relu, on["left"], out["relu"])
        bk.compute(relu_grad, out["relu"], on["left"], out["relu_grad"], flat_tmp)
        bk.compute(bernoulli_nll_terms, on["a"], on["x"], out["terms"], tmp)
        bk.compute(bernoulli_nll_and_grad, on["a"], on["x"], out["nll"], out["da"], tmp, tmp2)
        bk.uniform(out["uniform"], stream, noise)
        bk.normal(out["normal"], stream, noise)
        if bk.name == "strict":
            assert bk.device.synchronizations == waits
        return {k: bk.to_host(a) for k, a in out.items()}

    there, here = compute(bk), compute(cpu)
    assert len(there) == 10
    for name, value in there.items():
        np.testing.assert_array_equal(value, here[name], err_msg=name)
