"""The CUDA sources as files, and as NVRTC sees them: each kernel for each architecture."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from emulation import SHIPPED, EmulatedBackend, EmulatedKernels

import scratchvae
from scratchvae.backend import cuda
from scratchvae.backend.cuda.kernels import FILES, options, source


@pytest.mark.nvrtc
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kernel_compiles_with_cupys_own_options(dtype, architecture):
    """No driver and no device: the compiler alone, as CuPy calls it."""
    from cupy._core import core
    from cupy_backends.cuda.libs import nvrtc

    told = (*options(np.dtype(dtype)), *core.assemble_cupy_compiler_options(()))
    told = (*told, "-ftz=true", f"-arch={architecture}", "--device-as-default-execution-space")
    program = nvrtc.createProgram(source(), "kernels.cu", (), ())
    try:
        nvrtc.compileProgram(program, told)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    assert not nvrtc.getProgramLog(program).strip("\0\n")  # not a warning either
    cubin = nvrtc.getCUBIN(program)
    for name in SHIPPED:
        assert f".text.{name}".encode() in cubin, name


@pytest.mark.nvrtc
def test_cupy_has_what_the_backend_calls():
    """Names alone, as far as they can be seen without a driver."""
    import cupy
    from cupy._core import set_reduction_accelerators, set_routine_accelerators

    for owner, names in {
        cupy: "RawModule empty ones matmul take",
        cupy.ndarray: "get set fill data flags strides",
        cupy.cuda: "Stream Event get_current_stream get_elapsed_time using_allocator runtime",
        cupy.cuda.Stream: "begin_capture end_capture synchronize",
        cupy.cuda.Graph: "launch",
        cupy.cuda.runtime: "getDeviceCount getDeviceProperties memGetInfo CUDARuntimeError",
    }.items():
        assert not [name for name in names.split() if not hasattr(owner, name)]
    assert callable(set_reduction_accelerators)
    assert callable(set_routine_accelerators)
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    module = cupy.RawModule(code=source(), options=options(np.dtype("float32")))
    assert "adam" in module.code


def test_no_option_makes_mathematics_fast():
    assert options(np.dtype("float32")) == ("-DREAL=float",)
    assert options(np.dtype("float64")) == ("-DREAL=double",)


def test_every_kernel_that_is_shipped_is_launched_by_the_backend():
    folder = Path(cuda.__file__).parent
    python = "".join(path.read_text() for path in folder.glob("*.py"))
    for name in SHIPPED:
        known = name.startswith("gather_") and "gather_{" in python
        assert known or f'"{name}"' in python, name
    assert len(SHIPPED) == len(set(SHIPPED)) > 15


def test_every_source_is_compiled():
    folder = Path(cuda.__file__).parent / "kernels"
    assert sorted(FILES) == sorted(path.stem for path in folder.glob("*.cu"))
    assert all(path.read_text() in source() for path in folder.glob("*.cu"))


def test_there_are_no_float_atomics_and_no_includes():
    assert "atomic" not in source().replace("without atomics", "")
    assert "#include" not in source()


@pytest.mark.gxx
def test_an_argument_too_many_is_noticed():
    bk = EmulatedBackend()
    with pytest.raises(AssertionError, match="relu does not take 2 arguments"):
        EmulatedKernels(bk.xp, bk.dtype).launch("relu", 1, bk.zeros((3,)), 3)


def test_every_file_that_is_no_module_is_shipped():
    root = Path(scratchvae.__file__).parent
    settings = tomllib.loads((root.parent / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["scratchvae"]
    shipped = {path for pattern in patterns for path in root.glob(pattern)}
    files = {p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    other = {p for p in files if p.suffix != ".py"}
    assert other == shipped
    assert len(other) > len(FILES)
