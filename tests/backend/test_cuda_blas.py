"""cuBLAS is told the right product: a library that reads its arguments as cuBLAS' manual says."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from scratchvae.backend.cuda.blas import SIGNATURES, TF32, WORKSPACE, Blas, BlasError, layout

A, B, OUT = np.arange(12.0).reshape(3, 4), np.arange(20.0).reshape(4, 5) - 9, (3, 5)


class DeviceArray:
    """As much of a CuPy array as the product looks at."""

    def __init__(self, a):
        self.a = a
        self.shape, self.strides, self.dtype = a.shape, a.strides, a.dtype
        self.data = SimpleNamespace(ptr=a.ctypes.data)


class Library:
    """cuBLAS on the host: matrices are columns behind each other, as in Fortran."""

    def __init__(self, status=0):
        self.calls, self.status = [], status
        for name, types in SIGNATURES.items():
            setattr(self, name, self.function(name, types))

    def function(self, name, types):
        def call(*args):
            assert len(args) == len(types)
            assert call.argtypes == types  # else ctypes would pass addresses as 32-bit integers
            self.calls.append((name, *args))
            if name == "cublasGemmEx":
                self.gemm(*args[1:])
            return self.status

        return call

    def gemm(self, op_a, op_b, m, n, k, alpha, a, a_kind, lda, b, b_kind, ldb, beta, c, c_kind, ldc,
             compute, algorithm):  # fmt: skip
        kind = {0: ctypes.c_float, 1: ctypes.c_double}[a_kind]
        assert a_kind == b_kind == c_kind

        def matrix(address, rows, columns, step):
            assert step >= max(rows, 1)
            size = ctypes.sizeof(kind)
            memory = (kind * (step * (columns - 1) + rows)).from_address(address)
            flat = np.frombuffer(memory, np.dtype(kind))
            return np.lib.stride_tricks.as_strided(flat, (rows, columns), (size, step * size))

        left = matrix(a, k, m, lda).T if op_a else matrix(a, m, k, lda)
        right = matrix(b, n, k, ldb).T if op_b else matrix(b, k, n, ldb)
        matrix(c, m, n, ldc)[...] = left @ right


def make(dtype="float64", stream=7, tf32=False, library=None):
    stream = SimpleNamespace(ptr=stream)
    xp = SimpleNamespace(
        cuda=SimpleNamespace(get_current_stream=lambda: stream),
        empty=lambda size, dtype: DeviceArray(np.empty(size, dtype)),
    )
    library = library or Library()
    return Blas(xp, library, np.dtype(dtype), tf32), library, stream


def padded(a, rows=0, columns=0):
    """The same matrix as a window of a larger one."""
    room = np.full((a.shape[0] + rows, a.shape[1] + columns), np.nan, a.dtype)
    room[: a.shape[0], : a.shape[1]] = a
    return room[: a.shape[0], : a.shape[1]]


VIEWS = {
    "as it is": lambda a: np.ascontiguousarray(a),
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "some columns": lambda a: padded(a, 0, 3),
    "some columns, transposed": lambda a: padded(np.ascontiguousarray(a.T), 0, 2).T,
    "some rows": lambda a: padded(a, 2, 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("left", VIEWS)
@pytest.mark.parametrize("right", VIEWS)
@pytest.mark.parametrize(
    "sizes", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1), (1, 4, 1)]
)
def test_every_view_of_the_factors_is_multiplied_as_numpy_does(left, right, sizes, dtype):
    rows, inner, columns = sizes
    a = VIEWS[left](A[:rows, :inner].astype(dtype))
    b = VIEWS[right](B[:inner, :columns].astype(dtype))
    for out in (
        np.full((rows, columns), np.nan, dtype),
        padded(np.zeros((rows, columns), dtype), 0, 2),
    ):
        make(dtype)[0].gemm(DeviceArray(a), DeviceArray(b), DeviceArray(out))
        np.testing.assert_array_equal(out, a @ b)


def test_the_workspace_is_set_after_every_change_of_the_stream_and_only_then():
    blas, library, stream = make()
    a, b, out = (DeviceArray(x) for x in (A, B, np.empty(OUT)))
    for pointer in (7, 7, 9):
        stream.ptr = pointer
        blas.gemm(a, b, out)
    names = [call[0] for call in library.calls]
    follow = ["cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasGemmEx"]
    assert names == ["cublasCreate_v2", *follow, "cublasGemmEx", *follow]
    workspaces = [call for call in library.calls if call[0] == "cublasSetWorkspace_v2"]
    assert {call[2:] for call in workspaces} == {(blas.workspace.data.ptr, WORKSPACE)}


@pytest.mark.parametrize(
    ("dtype", "tf32", "compute"),
    [("float32", False, 68), ("float32", True, TF32), ("float64", False, 70)],
)
def test_the_precision_of_the_sums_is_the_one_asked_for(dtype, tf32, compute):
    blas, library, _ = make(dtype, tf32=tf32)
    a, b, out = (DeviceArray(x.astype(dtype)) for x in (A, B, np.empty(OUT)))
    blas.gemm(a, b, out)
    assert library.calls[-1][-2] == compute


def test_what_cublas_cannot_do_is_an_error():
    with pytest.raises(BlasError, match="cublasCreate_v2 failed with status 3"):
        make(library=Library(status=3))
    with pytest.raises(BlasError, match="contiguous along neither axis"):
        layout(DeviceArray(np.zeros((6, 8))[::2, ::2]))
    blas = make()[0]
    with pytest.raises(BlasError, match="must be contiguous along its rows"):
        blas.gemm(DeviceArray(A), DeviceArray(B), DeviceArray(np.empty((5, 3)).T))
