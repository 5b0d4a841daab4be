"""What the classifier of a semi-supervised model says of images, and how often it is right."""

import numpy as np

from scratchvae.backend import HostArray
from scratchvae.data import Split
from scratchvae.errors import ConfigError, DataError
from scratchvae.evaluation.elbo import CHUNK, as_seen_by_model, require_images
from scratchvae.memory import Workspace
from scratchvae.models import M2, Model
from scratchvae.models.inputs import grey_values
from scratchvae.models.model import BLOCK
from scratchvae.types import Values


def classify(model: Model, images: Values) -> HostArray:
    """q(y|x) of every image (N, D): (N, C) probabilities, in the model's float type.

    Rows (N, D + C) are taken, too, and their labels ignored. Raises ``ConfigError`` for a model
    without a classifier, ``DataError`` as :class:`Model` does.
    """
    vae, bk = model.vae, model.bk
    if not isinstance(vae, M2):
        raise ConfigError("the model has no classifier: M2 has, --condition some-labels")
    x, classes = np.asarray(images), vae.samples
    if x.ndim > 1 and x[0].size == vae.pixels - classes:
        x = np.hstack([x.reshape(len(x), -1), np.zeros((len(x), classes), x.dtype)])
    x = grey_values(x, vae)
    found = np.empty((len(x), classes), bk.dtype)
    for start in range(0, len(x), BLOCK):
        stop = min(start + BLOCK, len(x))
        bound = vae.bind(Workspace(bk, stop - start), model.params)
        bk.load(x[start:stop], bound.x)
        bound.classify()
        found[start:stop] = bk.to_host(bound.q)
    return found


def accuracy(model: Model, split: Split, *, seed: int = 0, draw: int = 0) -> float:
    """The share of the images of a split that the classifier of M2 gives their own label.

    Images without a label do not count. ``split``, ``seed`` and ``draw`` as in
    :func:`~scratchvae.evaluation.evaluate`. Raises ``ConfigError`` for a model without a
    classifier, and ``DataError`` for a split without labels.
    """
    require_images(split)
    if split.labels is None or not (split.labels >= 0).any():
        raise DataError("there is no label to compare the classifier's with")
    right = 0
    for start in range(0, len(split), CHUNK):
        chunk = split.take(slice(start, start + CHUNK))
        images = as_seen_by_model(chunk, seed=seed, draw=draw, start=start)
        right += int((classify(model, images).argmax(axis=1) == chunk.labels).sum())
    return right / int((split.labels >= 0).sum())
