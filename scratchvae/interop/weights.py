"""Weights in safetensors files, as the ``state_dict`` of the same network in PyTorch holds them.

The format has a header of names, shapes and dtypes, then the numbers; nothing in it is executed.
It does not detect a changed number, so the metadata hold a SHA-256 of all tensors, beside a JSON
text that describes the model. A file without metadata, as ``safetensors.torch.save_file`` writes
it, is read by names, shapes and dtypes alone.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import DATASETS
from scratchvae.errors import CheckpointError, ConfigError, RunError
from scratchvae.interop.pytorch import modules, places
from scratchvae.models import VAE, Model
from scratchvae.storage.atomic import write_bytes

FORMAT = 1
ENDING = ".safetensors"
DTYPES = {"F32": "float32", "F64": "float64"}


class Description(NamedTuple):
    """The metadata of a file: the model, and the digest of its weights."""

    config: TrainConfig | None  # None: the model was put together in Python
    pixels: int
    modules: dict[str, object]
    sha256: str


class WeightsSlice(Protocol):
    """The header of one tensor of a file."""

    def get_shape(self) -> list[int]:
        """The shape."""

    def get_dtype(self) -> str:
        """The dtype by the format's name: "F32"."""


class WeightsFile(Protocol):
    """An open file of the safetensors library, as far as it is used here."""

    def __enter__(self) -> "WeightsFile": ...

    def __exit__(self, *error: object) -> None: ...

    def metadata(self) -> dict[str, str] | None:
        """The texts beside the tensors."""

    def keys(self) -> list[str]:
        """The names of the tensors."""

    def get_slice(self, name: str) -> WeightsSlice:
        """A tensor's header, without its numbers."""

    def get_tensor(self, name: str) -> NDArray:
        """A tensor."""


def write_weights(
    path: str | Path, model: Model, *, config: TrainConfig | None = None, epoch: int | None = None
) -> dict[str, NDArray]:
    """Write a model's weights under PyTorch's names, atomically; returns the tensors written.

    ``config``: the settings that the model was made from; with them :func:`read_model` can make it
    again. A data set's folders are left out of them. ``epoch`` is noted in the metadata.

    Raises ConfigError for a network that PyTorch cannot express, and if ``config`` describes
    another one; RunError if ``path`` has another ending, exists or cannot be written.
    """
    library, path = _library(), Path(path)
    if config is not None:
        if modules(config.make_vae(model.vae.pixels)) != modules(model.vae):
            raise ConfigError("the settings describe another network than the model's")
        if str(model.bk.dtype) != config.dtype:
            raise ConfigError(f"the model is {model.bk.dtype}, but its settings say {config.dtype}")
    if path.suffix != ENDING:
        raise RunError(f"{path}: the name of a weights file must end in {ENDING}")
    if os.path.exists(path):  # answers False where Path's raises
        raise RunError(f"{path} exists already: choose another name, or remove it")
    arrays = model.params.to_host()
    tensors = {
        name: place.to_torch(arrays[place.ours]) for name, place in places(model.vae).items()
    }
    about = {
        "format": FORMAT,
        "config": None if config is None else _without_paths(config).to_json(),
        "pixels": model.vae.pixels,
        "epoch": epoch,
        "modules": modules(model.vae),
        "sha256": digest(tensors),
    }
    metadata = {"format": "pt", "scratchvae": json.dumps(about, sort_keys=True)}
    try:
        write_bytes(path, library.numpy.save(tensors, metadata))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
    return tensors


def read_weights(path: str | Path, model: Model) -> None:
    """Load the weights of a file into ``model``, which must have the same network.

    Raises CheckpointError, and leaves the model as it is, for a file that is missing or damaged,
    whose metadata describe another network or other weights, whose names, shapes or dtypes are
    not this model's, or that holds an infinity or NaN.
    """
    path = Path(path)
    with _opened(path) as file:
        about = _description(file, path)
        if about is not None and about.modules != modules(model.vae):
            raise CheckpointError(
                f"{path} belongs to another model: its metadata describe other layers"
            )
        _load(file, path, model, about)


def read_model(path: str | Path, device: str = "auto") -> tuple[Model, TrainConfig]:
    """The model that a file describes, with its weights, and the settings it was made from.

    Raises CheckpointError as :func:`read_weights` does, and for a file without our metadata or
    settings.
    """
    path = Path(path)
    with _opened(path) as file:
        about = _description(file, path)
        if about is None:
            raise CheckpointError(
                f"{path} does not describe its model: it has no metadata of scratchvae; make the "
                "model yourself and use read_weights"
            )
        if about.config is None:
            raise CheckpointError(
                f"{path} does not describe its model, which was put together in Python; make the "
                "model yourself and use read_weights"
            )
        vae = _vae(about.config, about, path)
        bk = get_backend(device, about.config.dtype)
        if vae.layout.n_parameters * bk.dtype.itemsize > path.stat().st_size:
            raise CheckpointError(f"{path} is damaged: it is smaller than the model it describes")
        model = Model(vae, bk, seed=about.config.seed)
        _load(file, path, model, about)
    return model, about.config


def digest(tensors: Mapping[str, NDArray]) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and little-endian bytes, in the order of names."""
    sha256 = hashlib.sha256()
    for name, a in sorted(tensors.items()):
        sha256.update(f"{name} {a.dtype.name} {a.shape};".encode())
        sha256.update(np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")).data)
    return sha256.hexdigest()


# ---- what a file must be ------------------------------------------------------------------------


def _library() -> ModuleType:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ConfigError(
            "weights are written and read by the package safetensors, which is not installed: "
            "pip install safetensors"
        ) from error
    library: ModuleType = safetensors
    return library


def _opened(path: Path) -> WeightsFile:
    library = _library()
    if not os.path.isfile(path):
        raise CheckpointError(f"there is no weights file at {path}")
    try:
        file: WeightsFile = library.safe_open(path, framework="np")
    except Exception as error:  # the library has no common type for its errors
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} is not a safetensors file, or damaged: {reason}") from error
    return file


def _description(file: WeightsFile, path: Path) -> Description | None:
    text = (file.metadata() or {}).get("scratchvae")
    if text is None:
        return None
    try:
        about = json.loads(text)
        if about["format"] != FORMAT:
            raise CheckpointError(
                f"{path} has format {about['format']!r}, but this version reads format {FORMAT}"
            )
        config = None if about["config"] is None else TrainConfig.from_json(about["config"])
        return Description(config, about["pixels"], about["modules"], about["sha256"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:  # a ConfigError, too
        raise CheckpointError(f"{path} is damaged: its metadata describe no model ({error})") from (
            error
        )


def _vae(config: TrainConfig, about: Description, path: Path) -> VAE:
    try:
        vae = config.make_vae(about.pixels)
        same = modules(vae) == about.modules
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: its metadata describe no model ({error})") from (
            error
        )
    if not same:
        raise CheckpointError(f"{path} is damaged: its metadata describe two models")
    return vae


def _load(file: WeightsFile, path: Path, model: Model, about: Description | None) -> None:
    wanted, dtype = places(model.vae), str(model.bk.dtype)
    found = set(file.keys())
    if found != set(wanted):
        lacking, surplus = sorted(set(wanted) - found), sorted(found - set(wanted))
        raise CheckpointError(
            f"{path} belongs to another model: it lacks {_some(lacking)}, and has {_some(surplus)} "
            f"that this model does not have"
        )
    tensors: dict[str, NDArray] = {}
    for name, place in wanted.items():
        header = file.get_slice(name)
        shape, kind = tuple(header.get_shape()), header.get_dtype()
        if shape != place.elements.shape:
            raise CheckpointError(
                f"{path} belongs to another model: {name} has the shape {shape}, but this model "
                f"has {place.elements.shape}"
            )
        if DTYPES.get(kind) != dtype:
            raise CheckpointError(
                f"{path}: {name} has the dtype {kind}, but this model has {dtype}"
            )
        tensors[name] = file.get_tensor(name)
    if about is not None and digest(tensors) != about.sha256:
        raise CheckpointError(
            f"{path} is damaged: its weights are not those of the SHA-256 in its metadata"
        )
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"{path} cannot be used: {name} holds NaN or infinity")
    shapes = model.vae.layout.shapes
    arrays = {
        place.ours: place.from_torch(tensors[name], shapes[place.ours])
        for name, place in wanted.items()
    }
    model.params.load(arrays)


def _some(names: list[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" * (len(names) > 3)) or "nothing"


def _without_paths(config: TrainConfig) -> TrainConfig:
    """A user's own file keeps its name and loses its folders."""
    return config if config.data in DATASETS else replace(config, data=Path(config.data).name)
