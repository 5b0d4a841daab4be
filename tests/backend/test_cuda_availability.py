"""A GPU that cannot be used is refused in one sentence that says what to install or change."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from scratchvae.backend import get_backend, why_no_gpu
from scratchvae.backend.cuda import CupyBackend, availability
from scratchvae.backend.cuda.graph import Recorded
from scratchvae.cli.main import main
from scratchvae.errors import ConfigError, DeviceError


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for an answer of the CUDA runtime."""


def no_memory(*args, **kwargs):
    raise MemoryError("Out of memory allocating 9,999,999,488 bytes (allocated so far: 0 bytes).")


def fake_cupy(count=1, kernel=None):
    """A CuPy that sees ``count`` devices (or raises that), and whose kernels do or raise that."""

    def device_count():
        if isinstance(count, Exception):
            raise count
        return count

    def launch(*args):
        if kernel is not None:
            raise kernel

    class Array(np.ndarray):
        def get(self):
            return np.array(self)

    cupy = ModuleType("cupy")
    cupy.__version__ = "14.9"
    cupy.empty, cupy.ones = np.empty, lambda *a, **k: np.ones(*a, **k).view(Array)
    cupy.RawModule = lambda code, options: SimpleNamespace(get_function=lambda name: launch)
    stream = SimpleNamespace(synchronize=lambda: None, ptr=1)
    cupy.cuda = SimpleNamespace(
        get_current_stream=lambda: stream,
        runtime=SimpleNamespace(
            getDeviceCount=device_count,
            CUDARuntimeError=CUDARuntimeError,
            memGetInfo=lambda: (2**30, 4 * 2**30),
        ),
    )
    core = ModuleType("cupy._core")
    core.set_routine_accelerators = core.set_reduction_accelerators = lambda kinds: None
    return {"cupy": cupy, "cupy._core": core}


@pytest.fixture
def pretend(monkeypatch):
    """pretend(…): CuPy is there, as ``fake_cupy`` makes it, and so are the libraries."""

    def install(compiler=None, cublas=None, **options):
        for name, module in fake_cupy(**options).items():
            monkeypatch.setitem(sys.modules, name, module)
        for name, error in (("load_compiler", compiler), ("load_cublas", cublas)):

            def load(error=error):
                if error is not None:
                    raise error

            monkeypatch.setattr(availability, name, load)

    return install


SENTENCES = {
    "no driver": (
        {"count": CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is …")},
        "there is no NVIDIA driver, or it is too old for CuPy",
    ),
    "no device": ({"count": CUDARuntimeError("cudaErrorNoDevice")}, "there is no CUDA device"),
    "no devices": ({"count": 0}, "there is no CUDA device"),
    "another error": (
        {"count": CUDARuntimeError("cudaErrorUnknown: x\nmore")},
        "the CUDA runtime fails: cudaErrorUnknown: x",
    ),
    "no compiler": (
        {"compiler": RuntimeError("libnvrtc.so.13 not found\nin all these places")},
        "the CUDA compiler NVRTC cannot be loaded: libnvrtc.so.13 not found; "
        "install scratchvae[cuda12] or scratchvae[cuda13]",
    ),
    "no cuBLAS": (
        {"cublas": ImportError("libcublas.so.13: no such file")},
        "cuBLAS cannot be loaded: libcublas.so.13: no such file; install scratchvae[cuda12]",
    ),
    "no headers": (
        {"kernel": RuntimeError("cuda_fp16.h: no such file\nmore")},
        "cannot compute on it: cuda_fp16.h: no such file; install scratchvae[cuda12]",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("world", "fragment"), SENTENCES.values(), ids=SENTENCES)
def test_what_is_missing_is_named_in_one_sentence(world, fragment, pretend, capsys):
    pretend(**world)
    with pytest.raises(DeviceError) as error:
        get_backend("cuda")
    sentence = str(error.value)
    assert sentence.startswith("no GPU can be used: ")
    assert fragment in sentence
    assert sentence.endswith("or choose --device cpu")
    assert "\n" not in sentence
    assert main(["train", "--device", "cuda", "--quiet"]) == 2
    assert capsys.readouterr().err == f"scratchvae: {sentence}\n"


def test_auto_is_the_cpu_where_a_library_is_missing_and_says_why(pretend):
    pretend(compiler=RuntimeError("nothing here"))
    assert get_backend("auto").name == "cpu"
    assert why_no_gpu().startswith("the CUDA compiler NVRTC cannot be loaded: nothing here")


def test_no_cupy_and_a_broken_cupy_are_told_apart(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert why_no_gpu() == "CuPy is not installed; install scratchvae[cuda12] or scratchvae[cuda13]"


def test_too_little_memory_says_how_much_there_is(pretend, monkeypatch):
    pretend()
    assert why_no_gpu() is None
    bk = get_backend("cuda")
    monkeypatch.setattr(sys.modules["cupy"], "empty", no_memory)
    with pytest.raises(DeviceError) as error:
        bk.empty((2**28, 10))
    assert str(error.value) == (
        "not enough GPU memory: 10.0 GiB more are needed, and 1.0 of 4.0 GiB are free; "
        "choose a smaller batch, fewer samples per image or --device cpu"
    )


def test_tf32_is_for_float32_alone(pretend):
    pretend()
    assert get_backend("cuda", tf32=True).tf32
    assert not get_backend("cuda", tf32=True).with_dtype("float64").tf32
    with pytest.raises(ConfigError, match="TF32 is a way to multiply float32 numbers, not float64"):
        get_backend("cuda", "float64", tf32=True)
    with pytest.raises(ConfigError, match="TF32 is a way in which a GPU multiplies"):
        get_backend("cpu", tf32=True)


# ---- recording -------------------------------------------------------------------------------


class Cuda:
    """As much of cupy.cuda as a recording needs."""

    def __init__(self):
        self.log: list[str] = []
        self.allocator = None

    def get_current_stream(self):
        return SimpleNamespace(synchronize=lambda: self.log.append("wait"))

    def using_allocator(self, allocator):
        self.allocator = allocator
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def begin_capture(self):
        self.log.append("begin")

    def end_capture(self):
        self.log.append("end")
        return SimpleNamespace(launch=lambda: self.log.append("launch"))


def recorded(step, times):
    cuda = Cuda()
    return cuda, Recorded(SimpleNamespace(cuda=cuda), cuda, lambda: step(cuda), times)


def test_the_first_call_runs_the_second_records_and_all_later_ones_repeat():
    cuda, repeat = recorded(lambda cuda: cuda.log.append("step"), times=2)
    for expected in (
        ["step", "step"],
        ["wait", "begin", "step", "step", "end", "launch"],
        ["launch"],
        ["launch"],
    ):
        repeat()
        assert cuda.log == expected
        cuda.log.clear()


def test_an_allocation_ends_the_recording_with_its_own_error():
    def step(cuda):
        if cuda.allocator:
            cuda.allocator(512)

    cuda, repeat = recorded(step, times=1)
    repeat()
    with pytest.raises(DeviceError, match="512 bytes were allocated inside a captured step"):
        repeat()
    assert cuda.log == ["wait", "begin", "end"]


def test_complex_numbers_are_never_recorded():
    assert CupyBackend(np, "float32").records_steps
    assert not CupyBackend(np, "complex128").records_steps
