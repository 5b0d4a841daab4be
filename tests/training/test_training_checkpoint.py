"""Checkpoints: what is saved comes back, a damaged one says so, and a crash harms nothing."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import leftovers, settings, tiny

import scratchvae.training.checkpoint as checkpoint_module
from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError, RunError
from scratchvae.models import Model
from scratchvae.training import RunFolder, train
from scratchvae.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
)


def small(step: int = 12) -> Checkpoint:
    """A checkpoint of a model with two parameters."""
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    buffers = {"params": {"W": a, "b": a[0] * 2}, "adam.m": {"W": -a, "b": a[1]}}
    return Checkpoint({"hidden": [3], "seed": 2**64 - 1}, 12, 3, step, buffers)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    if (a.config, a.pixels, a.epoch, a.step) != (b.config, b.pixels, b.epoch, b.step):
        return False
    assert set(a.buffers) == set(b.buffers)
    return all(
        np.array_equal(x, b.buffers[buffer][name]) and x.dtype == b.buffers[buffer][name].dtype
        for buffer, views in a.buffers.items()
        for name, x in views.items()
    )


def a_run(path: Path, **changes: Any) -> RunFolder:
    config = settings(**changes)
    folder = RunFolder.create(path, {"config": config.to_json()})
    train(config, tiny(), get_backend("cpu"), folder)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nobody writes to."""
    return a_run(tmp_path_factory.mktemp("finished") / "run")


# ---- what is saved comes back -----------------------------------------------------------------


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", small())
    assert same(load_checkpoint(tmp_path / "c.npz"), small())
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_to_the_bit_in_its_own_float_type(tmp_path: Path, dtype: str) -> None:
    config = settings(dtype=dtype, likelihood="gaussian-per-pixel")
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    result = train(config, tiny(), get_backend("cpu", dtype), folder)
    model, checkpoint = folder.load(get_backend("cpu", dtype))
    assert model.params.flat.tobytes() == result.model.params.flat.tobytes()
    assert {a.dtype.name for a in checkpoint.buffers["params"].values()} == {dtype}
    assert set(checkpoint.buffers) == {"params", "adam.m", "adam.v"}
    assert checkpoint.config == config.to_json()
    assert (checkpoint.pixels, checkpoint.epoch, checkpoint.step) == (12, 2, 8)


def test_a_run_of_the_strict_device_loads_on_the_cpu(tmp_path: Path) -> None:
    config = settings()
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    train(config, tiny(), get_backend("strict"), folder)
    first = a_run(tmp_path / "cpu")
    assert folder.checkpoint_path.read_bytes() == first.checkpoint_path.read_bytes()


def test_identical_runs_leave_identical_bytes(tmp_path: Path) -> None:
    runs = [a_run(tmp_path / str(i), validation=5) for i in range(2)]
    runs.append(a_run(tmp_path / "other", validation=5, seed=1))
    for path in ("checkpoint_path", "best_path", "config_path"):
        first, again, other = (getattr(run, path).read_bytes() for run in runs)
        assert first == again
        assert first != other


def test_the_arrays_are_uncompressed_and_readable_by_numpy_alone(finished: RunFolder) -> None:
    with zipfile.ZipFile(finished.checkpoint_path) as file:
        assert {item.compress_type for item in file.infolist()} == {zipfile.ZIP_STORED}
    with np.load(finished.checkpoint_path) as file:
        assert file["params/encoder.0.W"].shape == (12, 8)
        manifest = json.loads(bytes(file["manifest"]))
    assert manifest["arrays"]["adam.v/decoder.2.b"]["shape"] == [12]


# ---- a crash harms nothing --------------------------------------------------------------------


def fail(error: BaseException) -> Callable[..., None]:
    def failing(*args: Any, **kwargs: Any) -> None:
        raise error

    return failing


def half_a_file(file: io.BufferedWriter, **arrays: Any) -> None:
    file.write(b"PK half a file")
    file.flush()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("target", "substitute", "error"),
    [
        ("scratchvae.training.atomic.os.replace", fail(PermissionError(13, "No")), CheckpointError),
        ("scratchvae.training.atomic.os.fsync", fail(OSError(5, "I/O error")), CheckpointError),
        ("scratchvae.training.checkpoint.np.savez", half_a_file, CheckpointError),
        ("scratchvae.training.checkpoint.np.savez", fail(KeyboardInterrupt()), KeyboardInterrupt),
        ("scratchvae.training.atomic.tempfile.mkstemp", fail(OSError(28, "Full")), CheckpointError),
    ],
)
@pytest.mark.parametrize("there_before", [True, False])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(
    target: str, substitute: Any, error: Any, there_before: bool, tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "c.npz"
    if there_before:
        save_checkpoint(path, small(step=1))
    with monkeypatch.context() as patch:
        patch.setattr(target, substitute)
        with pytest.raises(error):
            save_checkpoint(path, small(step=2))
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"] * there_before
    if there_before:
        assert same(load_checkpoint(path), small(step=1))


def test_a_disk_that_is_full_is_said_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint_module.np, "savez", half_a_file)
    with pytest.raises(CheckpointError, match=r"c\.npz cannot be written: No space left"):
        save_checkpoint(tmp_path / "c.npz", small())


def test_a_file_that_is_replaced_keeps_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path / "c.npz", small())
    finally:
        os.umask(before)
    assert (tmp_path / "c.npz").stat().st_mode & 0o777 == 0o640


def test_a_process_killed_while_it_saves_over_and_over_leaves_a_whole_file(tmp_path: Path) -> None:
    code = (
        "import sys, itertools, numpy as np; from pathlib import Path\n"
        "from scratchvae.training.checkpoint import Checkpoint, save_checkpoint\n"
        "path = Path(sys.argv[1])\n"
        "for step in itertools.count():\n"
        "    a = np.full((300, 300), step, np.float32)\n"
        "    save_checkpoint(path, Checkpoint({}, 1, 0, step, {'params': {'W': a}}))\n"
    )
    for i in range(3):
        path = tmp_path / f"{i}.npz"
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.05 + 0.013 * i)
        process.send_signal(signal.SIGKILL)
        process.wait()
        checkpoint = load_checkpoint(path)
        assert (checkpoint.buffers["params"]["W"] == checkpoint.step).all()


# ---- damage -----------------------------------------------------------------------------------


def rewritten(source: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
    """The checkpoint with its manifest and arrays changed, and saved without a check."""
    with np.load(source) as file:
        arrays = {name: file[name] for name in file.files}
    manifest = json.loads(bytes(arrays.pop("manifest")))
    change(manifest, arrays)
    if "manifest" not in arrays:
        arrays["manifest"] = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def npy(a: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, a)
    return out.getvalue()


def a_member_replaced(source: Path, name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for item in old.namelist():
            new.writestr(item, content if item == name else old.read(item))
    return out.getvalue()


def set_key(key: str, value: Any) -> Callable[[Path], bytes]:
    return lambda path: rewritten(path, lambda m, a: m.__setitem__(key, value))


def without_key(key: str) -> Callable[[Path], bytes]:
    return lambda path: rewritten(path, lambda m, a: m.pop(key))


W = "params/encoder.0.W"
HUGE = npy(np.zeros(1)).replace(b"(1,)", b"(999999999999,)").replace(b" " * 11, b"", 1)

DAMAGE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "nothing at all": (lambda path: b"", "no checkpoint of scratchvae, or damaged"),
    "text": (lambda path: b"epoch,loss\n1,2\n", "no checkpoint of scratchvae, or damaged"),
    "one array": (lambda path: npy(np.zeros(3)), "no checkpoint of scratchvae, or damaged"),
    "another npz": (lambda path: npz(x=np.zeros(3)), "no checkpoint of scratchvae, or damaged"),
    "a zip of text": (lambda path: a_zip(), "no checkpoint of scratchvae, or damaged"),
    "cut in half": (lambda path: path.read_bytes()[:3000], "or damaged"),
    "the last byte missing": (lambda path: path.read_bytes()[:-1], "or damaged"),
    "the start missing": (lambda path: path.read_bytes()[64:], "or damaged"),
    "zeros where an array was": (
        lambda path: path.read_bytes()[:2000] + bytes(200) + path.read_bytes()[2200:],
        "damaged",
    ),
    "Python objects": (
        lambda path: rewritten(path, lambda m, a: a.update({W: np.array([None, {}])})),
        "Object arrays",
    ),
    "a manifest of Python objects": (
        lambda path: rewritten(path, lambda m, a: a.update(manifest=np.array([{}]))),
        "Object arrays",
    ),
    "a declared shape of 10^12 floats": (
        lambda path: a_member_replaced(path, f"{W}.npy", HUGE),
        "or damaged",
    ),
    "an array that is no array": (
        lambda path: a_member_replaced(path, f"{W}.npy", b"hello"),
        "damaged",
    ),
    "a missing array": (
        lambda path: rewritten(path, lambda m, a: a.pop(W)),
        rf"missing or surplus arrays \['{W}'\]",
    ),
    "a surplus array": (
        lambda path: rewritten(path, lambda m, a: a.update({"params/extra": a[W]})),
        r"missing or surplus arrays \['params/extra'\]",
    ),
    "an array of another model, digests unchanged": (
        lambda path: rewritten(path, lambda m, a: a.update({W: a[W] * 2})),
        f"the array {W} is not what was saved",
    ),
    "one bit of an array": (
        lambda path: rewritten(path, lambda m, a: a[W].view(np.uint8).__setitem__((0, 0), 7)),
        f"the array {W} is not what was saved",
    ),
    "an array in another dtype": (
        lambda path: rewritten(path, lambda m, a: a.update({W: a[W].astype(np.float64)})),
        f"the array {W} is not what was saved",
    ),
    "an array in another shape": (
        lambda path: rewritten(path, lambda m, a: a.update({W: a[W].T.copy()})),
        f"the array {W} is not what was saved",
    ),
    "a format of the future": (set_key("format", 2), "has format 2, but .* reads format 1"),
    "no format": (without_key("format"), "has format None"),
    "no settings": (without_key("config"), "its manifest lacks config"),
    "no epoch and no step": (
        lambda path: rewritten(path, lambda m, a: (m.pop("step"), m.pop("epoch"))),
        "its manifest lacks epoch, step",
    ),
    "pixels in words": (set_key("pixels", "twelve"), "its manifest lacks pixels"),
    "arrays that are a list": (set_key("arrays", ["params"]), "does not describe a checkpoint"),
    "a manifest that is a number": (
        lambda path: rewritten(path, lambda m, a: a.update(manifest=np.frombuffer(b"7", "u1"))),
        "does not describe a checkpoint",
    ),
    "a manifest that is no JSON": (
        lambda path: rewritten(path, lambda m, a: a.update(manifest=np.frombuffer(b"{", "u1"))),
        "or damaged",
    ),
    "a manifest nested without end": (
        lambda path: rewritten(
            path, lambda m, a: a.update(manifest=np.frombuffer(b"[" * 99_999, "u1"))
        ),
        "or damaged",
    ),
    "digests missing": (
        lambda path: rewritten(path, lambda m, a: m["arrays"].__setitem__(W, {})),
        f"the array {W} is not what was saved",
    ),
}


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def a_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("manifest.npy", "not an array")
    return out.getvalue()


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_refused_by_name(
    kind: str, finished: RunFolder, tmp_path: Path
) -> None:
    damage, complaint = DAMAGE[kind]
    path = tmp_path / "damaged.npz"
    path.write_bytes(damage(finished.checkpoint_path))
    with pytest.raises(CheckpointError, match=complaint) as caught:
        load_checkpoint(path)
    assert "damaged.npz" in str(caught.value)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return pytest.fail, ("unpickled",)

    np.savez(tmp_path / "trap.npz", manifest=np.array([Trap()], dtype=object))
    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object))
    for name in ("trap.npz", "trap.npy"):
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / name)


def test_a_missing_checkpoint_and_a_folder_in_its_place_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint at .*gone\.npz"):
        load_checkpoint(tmp_path / "gone.npz")
    with pytest.raises(CheckpointError, match="no checkpoint of scratchvae"):
        load_checkpoint(tmp_path)


def test_no_changed_byte_passes_for_another_checkpoint(tmp_path: Path) -> None:
    """A byte that decides nothing, a file time say, may change; then all contents are the same."""
    path = tmp_path / "c.npz"
    save_checkpoint(path, small())
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        try:
            loaded = load_checkpoint(path)
        except CheckpointError as error:
            assert "c.npz" in str(error)  # noqa: PT017 - either outcome is right
            refused += 1
        else:
            assert same(loaded, small())
    assert refused > len(content) / 7 / 2


def test_no_cut_passes(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, small())
    content = path.read_bytes()
    for length in range(0, len(content), 29):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


# ---- a checkpoint of something else -----------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"hidden": (9,)}, {"hidden": (8, 8)}, {"latent_dim": 3}, {"likelihood": "gaussian-learned"}],
)
def test_a_checkpoint_of_another_model_is_refused_and_the_model_unchanged(
    changes: dict[str, Any], finished: RunFolder
) -> None:
    bk = get_backend("cpu")
    model = Model(settings(**changes).make_vae(12), bk)
    before = model.params.flat.copy()
    checkpoint = load_checkpoint(finished.checkpoint_path)
    with pytest.raises(CheckpointError, match=r"belongs to another model: it holds .*\(12, 8\)"):
        restore(finished.checkpoint_path, checkpoint, "params", model.params)
    with pytest.raises(CheckpointError, match="it holds no parameters"):
        restore(finished.checkpoint_path, replace(checkpoint, buffers={}), "params", model.params)
    np.testing.assert_array_equal(model.params.flat, before)


def test_a_checkpoint_in_the_folder_of_another_run_is_refused(
    finished: RunFolder, tmp_path: Path
) -> None:
    other = RunFolder.create(tmp_path / "other", {"config": settings(seed=1).to_json()})
    other.checkpoint_path.write_bytes(finished.checkpoint_path.read_bytes())
    with pytest.raises(CheckpointError, match="belongs to another run than"):
        other.load(get_backend("cpu"))


def test_every_error_of_a_checkpoint_is_an_error_of_the_run() -> None:
    assert issubclass(CheckpointError, RunError)
