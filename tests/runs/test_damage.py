"""Damaged and forged checkpoints: each is refused by name, and no byte changes unseen."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import settings, small, tiny

from benchmarks.reliability import damage
from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError
from scratchvae.runs import RunFolder
from scratchvae.runs.checkpoint import load_checkpoint, save_checkpoint
from scratchvae.storage.npz import write_npz
from scratchvae.training import train


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that no test writes to."""
    config = settings()
    folder = RunFolder.create(tmp_path_factory.mktemp("good") / "run", {"config": config.to_json()})
    train(config, tiny(), backend=get_backend("cpu"), run=folder)
    return folder.checkpoint_path


def text(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def forged(source: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> bytes:
    """The checkpoint with manifest and arrays changed, and a digest that fits the manifest."""
    with np.load(source) as file:
        arrays = {name: file[name] for name in file.files}
    manifest = json.loads(bytes(arrays.pop("manifest")))
    del arrays["manifest.sha256"]
    change(manifest, arrays)
    raw = bytes(arrays.pop("manifest", text(json.dumps(manifest).encode())))
    head = {
        "manifest": text(raw),
        "manifest.sha256": text(hashlib.sha256(raw).hexdigest().encode()),
    }
    out = io.BytesIO()
    write_npz(out, head | {k: np.ascontiguousarray(a) for k, a in arrays.items()})
    return out.getvalue()


def forge(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Callable[[Path], bytes]:
    return lambda path: forged(path, change)


def rezipped(source: Path, compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """The same members, in a zip as the standard library writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w", compression) as new:
        new.comment = comment
        for item in old.namelist():
            new.writestr(item, old.read(item))
    return out.getvalue()


def saved_by_numpy(source: Path, **changes: Any) -> bytes:
    """The same arrays as ``numpy.savez`` writes them; of another format if ``changes`` say so."""
    with np.load(source) as file:
        arrays = {name: file[name] for name in file.files}
    manifest = json.loads(bytes(arrays.pop("manifest"))) | changes
    out = io.BytesIO()
    np.savez(out, manifest=text(json.dumps(manifest).encode()), **arrays)
    return out.getvalue()


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def npy(a: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, a)
    return out.getvalue()


def replaced(path: Path, old: bytes, new: bytes, count: int = -1) -> bytes:
    content = path.read_bytes()
    assert old in content
    return content.replace(old, new, count)


def twice(path: Path) -> bytes:
    """Some array a second time, after all others: the directory does not know of it."""
    content = path.read_bytes()
    start, end = content.rindex(b"PK\x03\x04"), content.index(b"PK\x01\x02")
    return content[:end] + content[start:end] + content[end:]


W = "params/encoder.0.W"


def entry(name: str, **changes: Any) -> Callable[[Path], bytes]:
    """The manifest's entry of an array, changed."""
    return forge(lambda m, a: m["arrays"][name].update(changes))


def bit(m: dict[str, Any], a: dict[str, Any]) -> None:
    a[W].view(np.uint8)[0, 0] ^= 1


def without_numbers(whole: bytes) -> bytes:
    """The file of a checkpoint with 99 bytes of zeros among the numbers of an array."""
    start = whole.index(b"\n", whole.index(b"params/encoder.0.W.npy")) + 1  # its header ends there
    return whole[:start] + bytes(99) + whole[start + 99 :]


DAMAGE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "nothing at all": (lambda path: b"", "no array begins at byte 0"),
    "text": (lambda path: b"epoch,loss\n1,2\n" * 9, "no array begins at byte 0"),
    "one array": (lambda path: npy(np.zeros(3)), "no array begins at byte 0"),
    "another npz": (lambda path: npz(x=np.zeros(3)), "begins with the array x instead"),
    "an empty zip": (lambda path: rezipped(path)[-22:], "no array begins at byte 0"),
    "zipped anew": (rezipped, "the record of the array manifest is not the one"),
    "compressed": (lambda path: rezipped(path, zipfile.ZIP_DEFLATED), "the record of the array"),
    "a comment": (lambda path: path.read_bytes()[:-2] + b"\x02\x00hi", "its ending"),
    "a surplus byte": (lambda path: path.read_bytes() + b"!", "its ending"),
    "a byte before it": (lambda path: b"!" + path.read_bytes(), "no array begins at byte 0"),
    "an array twice": (twice, "is there twice"),
    "cut in half": (lambda path: path.read_bytes()[:3000], "are left in the file"),
    "the last byte missing": (lambda path: path.read_bytes()[:-1], "its ending"),
    "the start missing": (lambda path: path.read_bytes()[64:], "no array begins at byte 0"),
    "zeros where an array was": (
        lambda path: without_numbers(path.read_bytes()),
        r"the array \S+ is not what its checksum says",
    ),
    "a directory with another name": (
        lambda path: path.read_bytes()[:-600]
        + path.read_bytes()[-600:].replace(b"params/", b"Params/"),
        "its ending",
    ),
    "a header of Python objects": (
        lambda path: replaced(path, b"'descr': '<f4'", b"'descr': '|O8'", 1),
        r"the array \S+ is not <f4 .*it says {'descr': '\|O8'",
    ),
    "a manifest of Python objects": (
        lambda path: npz(manifest=np.array([{}])), "the array manifest is not",
    ),
    "a declared shape of 10^12 floats": (
        entry(W, shape=[10**6, 10**6]), rf"the array {W} is not <f4 \(1000000, 1000000\)",
    ),
    "a shape of huge numbers": (entry(W, shape=[10**30] * 9), f"the array {W} is not <f4"),
    "a missing array": (forge(lambda m, a: a.pop(W)), rf"missing arrays \['{W}'\], surplus"),
    "a surplus array": (
        forge(lambda m, a: a.update({"params/z": a[W]})), r"surplus arrays \['params/z'\]",
    ),
    "arrays in another order": (
        forge(lambda m, a: a.update({W: a.pop(W)})), "its arrays are not in their order",
    ),
    "an array of another model, digests unchanged": (
        forge(lambda m, a: a.update({W: a[W] * 2})),
        f"the array {W} is not what was saved: its SHA",
    ),
    "one bit of an array": (forge(bit), f"the array {W} is not what was saved: its SHA-256"),
    "an array in another dtype": (
        forge(lambda m, a: a.update({W: a[W].astype(np.float64)})),
        rf"the array {W} is not <f4 \(12, 8\): it says .*<f8",
    ),
    "an array in another shape": (
        forge(lambda m, a: a.update({W: a[W].T.copy()})),
        rf"the array {W} is not <f4 \(12, 8\): it says .*\(8, 12\)",
    ),
    "a checkpoint of format 1": (
        lambda path: saved_by_numpy(path, format=1),
        "has format 1, but this version reads format 2",
    ),
    "a format of the future": (forge(lambda m, a: m.update(format=3)), "has format 3, but"),
    "no format": (forge(lambda m, a: m.pop("format")), "has format None"),
    "saved again by NumPy": (saved_by_numpy, "its ending, from byte"),
    "no settings": (forge(lambda m, a: m.pop("config")), "its manifest lacks config"),
    "no epoch and no step": (
        forge(lambda m, a: (m.pop("step"), m.pop("epoch"))), "its manifest lacks epoch, step",
    ),
    "pixels in words": (
        forge(lambda m, a: m.update(pixels="twelve")), "its manifest lacks pixels",
    ),
    "arrays that are a list": (
        forge(lambda m, a: m.update(arrays=["params"])), "its manifest lacks arrays",
    ),
    "a manifest that is a number": (
        forge(lambda m, a: a.update(manifest=text(b"7"))), "does not describe a checkpoint",
    ),
    "a manifest that is no JSON": (
        forge(lambda m, a: a.update(manifest=text(b"{"))), "its manifest cannot be read",
    ),
    "a manifest nested without end": (
        forge(lambda m, a: a.update(manifest=text(b"[" * 99_999))), "its manifest cannot be read",
    ),
    "a manifest changed, its digest not": (
        lambda path: replaced(path, b'"step": 8', b'"step": 9'), "the array manifest is not what",
    ),
    "digests missing": (
        forge(lambda m, a: m["arrays"].__setitem__(W, {})), f"does not say what the array {W} is",
    ),
    "a dtype that is none": (entry(W, dtype="<f3"), f"does not say what the array {W} is"),
    "a dtype of objects": (entry(W, dtype="|O"), f"does not say what the array {W} is"),
    "a negative shape": (entry(W, shape=[-12, -8]), f"does not say what the array {W} is"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_refused_by_name(kind: str, good: Path, tmp_path: Path) -> None:
    make, complaint = DAMAGE[kind]
    path = tmp_path / "damaged.npz"
    path.write_bytes(make(good))
    with pytest.raises(CheckpointError, match=complaint) as caught:
        load_checkpoint(path)
    assert "damaged.npz" in str(caught.value)


def test_a_forgery_without_a_change_is_the_checkpoint_itself(good: Path, tmp_path: Path) -> None:
    """What the rows above refuse is refused for what they changed."""
    path = tmp_path / "same.npz"
    path.write_bytes(forged(good, lambda m, a: None))
    assert load_checkpoint(path).step == load_checkpoint(good).step


def test_a_member_that_lies_about_its_size_is_not_read(good: Path, tmp_path: Path) -> None:
    content = bytearray(good.read_bytes())
    at = content.index(b"params/encoder.0.W.npy") + len(b"params/encoder.0.W.npy") + 4
    content[at : at + 16] = (2**62).to_bytes(8, "little") * 2
    path = tmp_path / "huge.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{W} is cut off: {2**62} bytes are declared"):
        load_checkpoint(path)


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
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("kind", damage.KINDS)
def test_a_sample_of_all_damage_is_detected(kind: str, tmp_path: Path) -> None:
    """``python -m benchmarks.reliability.damage`` makes all of it."""
    path = tmp_path / "c.npz"
    save_checkpoint(path, small())
    counts = damage.damaged(path, kind, every=17)
    assert counts["made"] >= 100
    assert counts["detected"] + counts["the same in effect"] == counts["made"]
    assert counts["the same in effect"] == 0 or kind == "8-byte holes"
