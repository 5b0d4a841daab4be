"""Matrix products of cuBLAS, called directly: CuPy refuses its own while a step is recorded."""

import ctypes

import numpy as np

from scratchvae.backend.base import Array, ArrayModule

WORKSPACE = 32 << 20  # bytes; NVIDIA's figure for its latest GPUs
PLAIN, TURNED = 0, 1  # CUBLAS_OP_N, CUBLAS_OP_T
ANY_ALGORITHM = -1
TF32 = 77  # CUBLAS_COMPUTE_32F_FAST_TF32
# cudaDataType of the numbers, cublasComputeType_t of the sums, C type of the factors
TYPES: dict[str, tuple[int, int, type[ctypes.c_float] | type[ctypes.c_double]]] = {
    "float32": (0, 68, ctypes.c_float),
    "float64": (1, 70, ctypes.c_double),
}
POINTER, INT = ctypes.c_void_p, ctypes.c_int
SIGNATURES: dict[str, list[type]] = {
    "cublasCreate_v2": [ctypes.POINTER(POINTER)],
    "cublasSetStream_v2": [POINTER, POINTER],
    "cublasSetWorkspace_v2": [POINTER, POINTER, ctypes.c_size_t],
    "cublasGemmEx": [POINTER, INT, INT, INT, INT, INT, POINTER, POINTER, INT, INT, POINTER, INT,
                     INT, POINTER, POINTER, INT, INT, INT, INT],
}  # fmt: skip


class BlasError(RuntimeError):
    """cuBLAS answered with an error."""


class Blas:
    """A private cuBLAS handle with a private workspace, so that a step allocates nothing.

    With ``tf32``, the factors of float32 products are rounded to 10 bits of mantissa; without it
    they are not rounded.
    """

    def __init__(
        self, xp: ArrayModule, library: ctypes.CDLL, dtype: np.dtype, tf32: bool = False
    ) -> None:
        self.xp, self.library = xp, library
        self.kind, self.compute, factor = TYPES[dtype.name]
        if tf32:
            self.compute = TF32
        for name, types in SIGNATURES.items():
            getattr(library, name).argtypes = types
        self.handle = POINTER()
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        self.workspace = xp.empty(WORKSPACE, dtype=np.uint8)
        self.one, self.zero = factor(1), factor(0)
        self.stream: int | None = None

    def gemm(self, a: Array, b: Array, out: Array) -> None:
        """out = a b on CuPy's current stream: (m, k), (k, n) -> (m, n), all of the handle's dtype.

        Each factor must be contiguous along one of its axes, ``out`` along its rows; ``BlasError``
        otherwise.
        """
        self._follow(self.xp.cuda.get_current_stream().ptr)
        # Rows below each other are the columns of the transpose: outᵀ = bᵀ aᵀ for cuBLAS.
        (rows, columns), inner = out.shape, a.shape[1]
        a_turned, a_step = layout(a)
        b_turned, b_step = layout(b)
        out_turned, out_step = layout(out)
        if out_turned:
            raise BlasError("the buffer of a product must be contiguous along its rows")
        self._call(
            "cublasGemmEx", self.handle, b_turned, a_turned, columns, rows, inner,
            ctypes.byref(self.one), b.data.ptr, self.kind, b_step, a.data.ptr, self.kind, a_step,
            ctypes.byref(self.zero), out.data.ptr, self.kind, out_step, self.compute, ANY_ALGORITHM,
        )  # fmt: skip

    def _follow(self, stream: int) -> None:
        if stream != self.stream:
            self._call("cublasSetStream_v2", self.handle, stream)
            # A new stream makes cuBLAS forget the workspace.
            memory = self.workspace.data.ptr
            self._call("cublasSetWorkspace_v2", self.handle, memory, WORKSPACE)
            self.stream = stream

    def _call(self, name: str, *args: object) -> None:
        status = getattr(self.library, name)(*args)
        if status:
            raise BlasError(f"{name} failed with status {status}")


def layout(a: Array) -> tuple[int, int]:
    """How cuBLAS reads a matrix: PLAIN and the step between rows, if the rows are contiguous.

    TURNED and the step between columns, if the columns are. ``BlasError`` if neither is.
    """
    size = a.dtype.itemsize
    (rows, columns), (down, right) = a.shape, a.strides
    if columns == 1 or right == size:
        return PLAIN, columns if rows == 1 else down // size
    if rows == 1 or down == size:
        return TURNED, rows if columns == 1 else right // size
    raise BlasError(f"a matrix of shape {a.shape} is contiguous along neither axis")
