"""The page in which the decoder runs: a latent space to drag through, images to send through it."""

import base64
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import scratchvae
from scratchvae.backend import get_backend
from scratchvae.data import Split
from scratchvae.errors import ConfigError
from scratchvae.evaluation import as_seen_by_model, evaluate
from scratchvae.evaluation.units import is_active
from scratchvae.memory import FlatBuffer
from scratchvae.models import Model
from scratchvae.pages.network import (
    describe_network,
    packed,
    require_drawable,
    unpacked,
    what_is_unknown,
)
from scratchvae.pages.single_file import require_new, write_page
from scratchvae.runs import Checkpoint, Snapshots
from scratchvae.runs.snapshots import REACH, SCATTERED, SIDE
from scratchvae.training import Prepared
from scratchvae.types import Json

STYLES = ("page.css", "explore.css")
SCRIPTS = ("page.js", "vae.js", "picture.js", "explore.js")
SHOWN = 60  # test images that are there to choose from
MEASURED = 500  # test images on which the error of rounded weights is measured


@dataclass(frozen=True)
class RoundingError:
    """The errors that float16 weights make on some test images, measured in Python."""

    weights: float  # the largest relative change of a weight array, ‖ŵ − w‖ / ‖w‖
    means: float  # the largest change of E[x|z] at z = μ, of any pixel
    elbo: float  # the change of the mean ELBO, in nats per image
    images: int


def write_explorer(
    path: Path,
    name: str,
    model: Model,
    checkpoint: Checkpoint,
    prepared: Prepared,
    snapshots: Snapshots | None = None,
) -> int:
    """Write the explorer of a run called ``name`` to a new file; its size in bytes.

    The weights lie in it in float16, and the error that this makes is on the page. Raises
    ``RunError`` if the file exists or can't be written, ``ConfigError`` for a table, which has no
    images, and for a model with parts that a page does not know.
    """
    require_new(path)
    require_drawable(model.vae)
    dataset, network = prepared.dataset, describe_network(model)
    if dataset.image_shape is None:
        raise ConfigError(f"{dataset.name} is a table, and an explorer draws images")
    unknown = what_is_unknown(network)
    if unknown:
        raise ConfigError(f"a page cannot compute {unknown}, whose equations it does not have")
    weights = {p: packed(a, "float16") for p, a in model.params.to_host().items()}
    test, condition = prepared.test.take(slice(0, SCATTERED)), model.vae.evaluated.condition
    rows = as_seen_by_model(test, seed=prepared.config.seed, condition=condition)
    q, images = model.encode(rows), condition.images(rows)
    kl = 0.5 * (q.mu**2 + np.exp(q.logvar) - 1 - q.logvar).mean(axis=0, dtype=np.float64)
    labels = test.labels
    data = {
        "name": name,
        "epoch": checkpoint.epoch,
        "network": network,
        "weights": weights,
        "error": vars(rounding_error(model, weights, prepared)),
        "imageShape": list(dataset.image_shape),
        "range": _drawn_range(prepared),
        "images": _packed_images(images[:SHOWN], prepared.test),
        "labels": None if labels is None else labels.tolist(),
        "classNames": list(dataset.class_names),
        "means": packed(q.mu, "float16"),
        "units": {
            "kl": kl.tolist(),
            "active": is_active(q.mu).tolist(),
            "mean": q.mu.mean(axis=0, dtype=np.float64).tolist(),
            "std": q.mu.std(axis=0, dtype=np.float64).tolist(),
        },
        "epochs": _epochs(snapshots, checkpoint, prepared),
        "made": f"Made by scratchvae {scratchvae.__version__} from {name}, "
        f"{dataset.name}, after epoch {checkpoint.epoch}.",
    }
    return write_page(path, f"{name}: the latent space", "explore.html", STYLES, SCRIPTS, data)


def rounding_error(model: Model, weights: Json, prepared: Prepared) -> RoundingError:
    """The errors of rounded weights, on the first test images."""
    exact = model.params.to_host()
    rounded = {name: unpacked(packed_) for name, packed_ in weights.items()}
    bk = get_backend("cpu", str(model.bk.dtype))
    params = FlatBuffer(bk, model.vae.layout)
    params.load({name: a.astype(exact[name].dtype) for name, a in rounded.items()})
    other = Model(model.vae, bk, params=params)
    some = prepared.test.take(slice(0, MEASURED))
    condition = model.vae.evaluated.condition
    images = as_seen_by_model(some, seed=prepared.config.seed, condition=condition)
    apart = [
        float(np.linalg.norm(rounded[name] - a) / np.linalg.norm(a))
        for name, a in exact.items()
        if a.any()
    ]
    means = float(np.abs(other.reconstruct(images) - model.reconstruct(images)).max())
    seed = prepared.config.seed
    elbo = evaluate(other, some, seed=seed).elbo - evaluate(model, some, seed=seed).elbo
    return RoundingError(max(apart), means, abs(elbo), len(some))


def _drawn_range(prepared: Prepared) -> list[float]:
    """The values that are drawn black and white, as in the figures of a run."""
    low, high = prepared.dataset.train.range
    return [0.0, 1.0] if (low >= 0 and high <= 1) or high == low else [float(low), float(high)]


def _packed_images(images: NDArray, split: Split) -> Json:
    """Images as whole levels where they are some, exactly; else in float16."""
    for levels in (1, split.max_level or 0):
        whole = np.rint(images * levels)
        if 0 < levels < 256 and np.allclose(whole / levels, images, rtol=0, atol=1e-7):
            return packed(whole.astype(np.uint8), "uint8") | {"levels": levels}
    return packed(images, "float16")


def _epochs(snapshots: Snapshots | None, checkpoint: Checkpoint, prepared: Prepared) -> list[Json]:
    """The planes that the run kept: μ of test images, and pictures of 16 grey levels, compressed.

    Two pixels lie in a byte, so that the pictures of eleven epochs fit beside the weights.
    """
    if snapshots is None or not snapshots.planes:
        return []
    low, high = _drawn_range(prepared)
    found = []
    for epoch, plane, means in zip(
        snapshots.epochs, snapshots.planes, snapshots.means, strict=True
    ):
        if epoch < checkpoint.epoch:
            grey = np.clip((plane.astype(np.float32) - low) / (high - low), 0, 1)
            levels = np.rint(15 * grey).astype(np.uint8).ravel()
            pairs = np.pad(levels, (0, levels.size % 2)).reshape(-1, 2)
            pixels = (16 * pairs[:, 0] + pairs[:, 1]).tobytes()
            found.append({
                "epoch": epoch,
                "side": SIDE,
                "reach": REACH,
                "plane": base64.b64encode(zlib.compress(pixels, 9)).decode(),
                "means": packed(means, "float16"),
            })  # fmt: skip
    return found
