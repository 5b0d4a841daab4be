"""Arrays and a manifest in one file whose every byte is covered by a checksum.

The file is an npz in one canonical form (:mod:`scratchvae.storage.npz`). Its first member is the
manifest, a JSON text with the format, with whatever the writer has to say, and with shape, dtype
and SHA-256 of every array; the second is the SHA-256 of that text; the arrays follow in the order
of their names. So no byte can change, go or come without a ``CheckpointError`` that says what is
wrong, and with which array.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import CheckpointError
from scratchvae.storage.atomic import write_atomically
from scratchvae.storage.npz import FrameError, NpzReader, npy_header, write_npz
from scratchvae.types import Json, JsonView

FORMAT = 2
MANIFEST, DIGEST = "manifest", "manifest.sha256"
BYTE = np.dtype(np.uint8)
DTYPES = re.compile(r"\|[iu]1|<[iu][248]|<f[248]")


def save_archive(
    path: Path,
    content: JsonView,
    arrays: Mapping[str, NDArray],
    previous: Path | None = None,
) -> None:
    """Write atomically; with ``previous``, the file that is replaced stays under that name."""
    whole = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    described = {name: describe(a) for name, a in whole.items()}
    manifest = {"format": FORMAT, **content, "arrays": described}
    text = json.dumps(manifest, sort_keys=True).encode()
    head = {MANIFEST: _text(text), DIGEST: _text(sha256(text).encode())}
    try:
        write_atomically(path, partial(write_npz, arrays=head | whole), previous)
    except OSError as error:
        stays = "; the one before it stays" if path.is_file() else ""
        raise CheckpointError(
            f"{path} cannot be written: {error.strerror or error}{stays}"
        ) from error


def load_archive(path: Path, kinds: Mapping[str, type]) -> tuple[Json, dict[str, NDArray]]:
    """Read and verify: the manifest, which must hold the keys of ``kinds``, and the arrays."""
    try:
        with path.open("rb") as file:
            reader = NpzReader(file)
            manifest = _read_manifest(path, reader, dict(kinds) | {"arrays": dict})
            expected = _declared(manifest["arrays"])
            _check_names(list(reader.members), [MANIFEST, DIGEST, *sorted(expected)])
            for name, (dtype, shape) in expected.items():
                reader.check_header(name, dtype, shape)
            reader.check_ending()
            arrays = {}
            for name, (dtype, shape) in expected.items():
                arrays[name] = reader.read(name, dtype, shape)
                if describe(arrays[name]) != manifest["arrays"][name]:
                    raise FrameError(f"the array {name} is not what was saved: its SHA-256 differs")
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except FrameError as error:
        raise CheckpointError(f"{path} is damaged, or no file of scratchvae: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path} cannot be read: not enough memory") from error
    return manifest, arrays


def describe(a: NDArray) -> Json:
    """An array's entry in the manifest: shape, dtype and SHA-256."""
    digest = sha256(a.reshape(-1).view(BYTE).data)
    return {"shape": list(a.shape), "dtype": a.dtype.str, "sha256": digest}


def sha256(content: bytes | memoryview) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _text(text: bytes) -> NDArray:
    return np.frombuffer(text, BYTE)


def _read_manifest(path: Path, reader: NpzReader, kinds: Mapping[str, type]) -> Json:
    """Read the manifest and check its format, its SHA-256 and its keys."""
    names = list(reader.members)
    if names[0] != MANIFEST:
        raise FrameError(f"it begins with the array {names[0]} instead of a manifest")
    raw = reader.read(MANIFEST, BYTE, (_length(reader, MANIFEST),)).tobytes()
    try:
        manifest = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise FrameError("its manifest cannot be read") from None
    if not isinstance(manifest, dict):
        raise FrameError("its manifest does not describe a checkpoint")
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {manifest.get('format')}, but this version reads format {FORMAT}"
        )
    if DIGEST not in names:
        raise FrameError("the SHA-256 of its manifest is missing")
    digest = reader.read(DIGEST, BYTE, (64,)).tobytes()
    if digest != sha256(raw).encode():
        raise FrameError("its manifest is not what was saved: its SHA-256 differs")
    lacking = [key for key, kind in kinds.items() if type(manifest.get(key)) is not kind]
    if lacking:
        raise FrameError(f"its manifest lacks {', '.join(lacking)}")
    return manifest


def _length(reader: NpzReader, name: str) -> int:
    """Length in bytes of a text member; the ``.npy`` header has the same length for every text."""
    return max(reader.members[name].size - len(npy_header(BYTE, (1,))), 0)


def _declared(described: JsonView) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of every array that the manifest describes."""
    found = {}
    for name, about in sorted(described.items()):
        fine = isinstance(about, dict) and set(about) == {"shape", "dtype", "sha256"}
        shape, dtype = (about["shape"], str(about["dtype"])) if fine else ([], "")
        fine = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
        if not fine or not DTYPES.fullmatch(dtype):
            raise FrameError(f"its manifest does not say what the array {name} is")
        found[name] = np.dtype(dtype), tuple(shape)
    return found


def _check_names(found: list[str], expected: list[str]) -> None:
    missing, surplus = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or surplus:
        raise FrameError(f"missing arrays {missing}, surplus arrays {surplus}")
    if found != expected:
        raise FrameError(f"its arrays are not in their order: {found}")
