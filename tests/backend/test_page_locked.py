"""Copies between host and device that nothing waits for, through page-locked memory."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.backend.cuda import CupyBackend
from scratchvae.backend.strict import CaptureError, TransferError

NUMBERS = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def strict():
    return get_backend("strict", "float64")


def test_numbers_come_to_the_host_and_back(make):
    bk = make("float32")
    a, b, host = bk.array(NUMBERS), bk.empty((2, 3)), bk.page_locked((2, 3))
    bk.start_to_host(a, host)
    bk.synchronize()
    assert np.array_equal(host, NUMBERS)
    bk.start_load(host, b)
    b += a
    assert np.array_equal(bk.to_host(b), 2 * NUMBERS)


def test_a_part_of_an_array_comes_to_its_place(make):
    bk = make("float32")
    a, host = bk.array(np.arange(8)), bk.page_locked((8,))
    host.fill(-1)
    bk.start_to_host(a[3:5], host[3:5])
    bk.synchronize()
    assert host.tolist() == [-1, -1, -1, 3, 4, -1, -1, -1]
    host[6:] = 60, 70
    bk.start_load(host[6:], a[6:])
    assert bk.to_host(a).tolist() == [0, 1, 2, 3, 4, 5, 60, 70]


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_page_locked_memory_has_the_float_type_unless_another_is_asked_for(device):
    bk = get_backend(device, "float64")
    assert bk.page_locked((2, 3)).dtype == np.float64
    assert bk.page_locked((), "int64").dtype == np.int64


# ---- what the strict device sees -----------------------------------------------------------------


def test_the_host_finds_nan_until_it_waits_and_then_the_numbers_of_the_call(strict):
    a, host = strict.array(NUMBERS), strict.page_locked((2, 3))
    strict.start_to_host(a, host)
    a *= 0.0
    assert np.isnan(host).all()
    strict.synchronize()
    assert np.array_equal(host, NUMBERS)


def test_a_host_array_that_is_written_to_while_it_is_copied_is_an_error(strict):
    host, a = strict.page_locked((2, 3)), strict.empty((2, 3))
    host[...] = NUMBERS
    strict.start_load(host, a)
    host[1, 2] += 1
    with pytest.raises(TransferError, match="written to while the device copied it; call synch"):
        strict.synchronize()


def test_other_host_arrays_are_refused(strict):
    a = strict.array(NUMBERS)
    for copy in (lambda: strict.start_to_host(a, np.empty((2, 3))),
                 lambda: strict.start_load(NUMBERS, a)):  # fmt: skip
        with pytest.raises(TransferError, match="is not one of page_locked"):
            copy()


def test_a_captured_step_has_no_such_copies(strict):
    a, host = strict.array(NUMBERS), strict.page_locked((2, 3))
    for copy in (lambda: strict.start_to_host(a, host), lambda: strict.start_load(host, a)):
        with pytest.raises(CaptureError, match="in a captured step"):
            strict.capture(copy)()


def test_page_locked_memory_counts_as_an_allocation(strict):
    before = strict.device.allocations
    strict.page_locked((2, 3))
    assert strict.device.allocations == before + 1


# ---- what CuPy is asked for ----------------------------------------------------------------------


class Pointer:
    """CuPy's pointer to memory of a device, which lies on the host here."""

    def __init__(self, a):
        self.address = a.ctypes.data

    def copy_to_host_async(self, host, size):
        ctypes.memmove(host, self.address, size)

    def copy_from_host_async(self, host, size):
        ctypes.memmove(self.address, host, size)


def on_device(a):
    return SimpleNamespace(a=a, data=Pointer(a), nbytes=a.nbytes)


def test_cupy_is_asked_for_pinned_memory_and_for_copies_of_whole_arrays():
    taken = []

    def alloc_pinned_memory(size):
        taken.append(size)
        return bytearray(size)

    xp = SimpleNamespace(cuda=SimpleNamespace(alloc_pinned_memory=alloc_pinned_memory))
    bk = CupyBackend(xp, "float32")
    host, numbers = bk.page_locked((2, 3)), NUMBERS.astype("float32")
    assert (host.shape, host.dtype, taken) == ((2, 3), np.float32, [24])
    bk.start_to_host(on_device(numbers), host)
    assert np.array_equal(host, numbers)
    back = on_device(np.zeros((2, 3), np.float32))
    bk.start_load(host, back)
    assert np.array_equal(back.a, numbers)


def test_an_array_without_numbers_takes_a_byte():
    taken = []
    xp = SimpleNamespace(cuda=SimpleNamespace(
        alloc_pinned_memory=lambda size: taken.append(size) or bytearray(size)
    ))  # fmt: skip
    assert CupyBackend(xp, "float32").page_locked((0,)).shape == (0,)
    assert taken == [1]
