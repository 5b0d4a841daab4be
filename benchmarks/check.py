"""The check before any timing: the same loss, gradients and update from the same inputs.

Weights, batches and noise are made once; every contender computes from them in float32, and a
reference, scratchvae's model in float64 with Adam written out below, says what is right.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.common import ADAM_EPS, BETA1, BETA2, LEARNING_RATE, Checked, Job
from benchmarks.models import Spec
from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.models import Model

TOLERANCE = 1e-5  # of the loss and of each array of the gradient, relative, by norm
UPDATE_TOLERANCE = 1e-2  # of the change of the weights: Adam's first steps are signs of gradients
SMALL = 1e-3  # an array of less than this share of the whole gradient is judged by that share
STEPS = 2

Arrays = Mapping[str, NDArray]


class DisagreementError(Exception):
    """A contender does other work than the reference."""


def initial_weights(spec: Spec, seed: int) -> dict[str, NDArray]:
    """The study's initial weights, float64; biases are given values so that they matter."""
    vae = spec.vae()
    arrays = vae.initial_parameters(get_backend("cpu", "float64"), seed).to_host()
    rng = np.random.default_rng(seed)
    return {
        name: a + 0.01 * rng.standard_normal(a.shape) * name.endswith(".b")
        for name, a in arrays.items()
    }


def make_inputs(job: Job, images: int, path: Path) -> None:
    """Write the batches (S, B) and their noise (S, B, K, Z): the noise that our step draws."""
    B, K, Z = job.spec.batch, job.spec.samples, job.spec.latent
    index = np.random.default_rng(job.seed + 1).permutation(images)[: STEPS * B].reshape(STEPS, B)
    eps = [normal((B, K, Z), Stream(job.seed, Purpose.LATENT, k + 1)) for k in range(STEPS)]
    np.savez(path, index=index, eps=np.array(eps, dtype=np.float32))


def reference(job: Job, inputs: Path) -> Checked:
    """The same steps in float64."""
    with np.load(inputs) as file:
        index, eps = file["index"], file["eps"].astype(np.float64)
    model = Model(job.spec.vae(), get_backend("cpu", "float64"))
    p = job.load_weights()
    m = {name: np.zeros_like(a) for name, a in p.items()}
    v = {name: np.zeros_like(a) for name, a in p.items()}
    data = np.load(job.data)
    for k in range(STEPS):
        model.params.load(p)
        x = data[index[k]] / float(job.max_level)
        loss, g = model.loss_and_gradient(x, eps[k])
        if k == 0:
            first, grads = loss.total, g
        for name in p:
            m[name] = BETA1 * m[name] + (1 - BETA1) * g[name]
            v[name] = BETA2 * v[name] + (1 - BETA2) * g[name] ** 2
            m_hat, v_hat = m[name] / (1 - BETA1 ** (k + 1)), v[name] / (1 - BETA2 ** (k + 1))
            p[name] = p[name] - LEARNING_RATE * m_hat / (np.sqrt(v_hat) + ADAM_EPS)
    return Checked(first, grads, p)


def read(path: Path) -> Checked:
    """What a contender wrote."""
    with np.load(path) as file:
        parts: dict[str, dict[str, NDArray]] = {"grads": {}, "updated": {}}
        for key in file:
            if key != "loss":
                kind, name = key.split("/")
                parts[kind][name] = file[key]
        return Checked(float(file["loss"]), **parts)


def compare(
    name: str,
    found: Checked,
    wanted: Checked,
    weights: Arrays,
    tolerance: float = TOLERANCE,
    update_tolerance: float = UPDATE_TOLERANCE,
    samples: int = 1,
) -> dict[str, float]:
    """The relative errors of a contender; raises ``DisagreementError`` if one is too large.

    With several ``samples`` per image each counts by e^−c, c its cost in nats. What float32 rounds
    off c, absolutely, is a relative error of that weight, so that much more is allowed.
    """
    rounding = float(np.finfo(np.float32).eps) * abs(wanted.loss) * (samples > 1)
    errors = {"loss": abs(found.loss - wanted.loss) / abs(wanted.loss)}
    worst, errors["gradient"] = _farthest(found.grads, wanted.grads)
    # float32 weights that barely move: what their own rounding hides is no error of the update
    before = {k: a.astype(np.float32).astype(np.float64) for k, a in weights.items()}
    moved, errors["update"] = _farthest(
        {k: found.updated[k] - before[k] for k in before},
        {k: wanted.updated[k] - weights[k] for k in weights},
    )
    for what, where, allowed in (
        ("loss", "", tolerance),
        ("gradient", f" of {worst}", tolerance + rounding),
        ("update", f" of {moved}", update_tolerance),
    ):
        if not errors[what] <= allowed:
            raise DisagreementError(
                f"{name} does other work than scratchvae in float64: its {what}{where} differs "
                f"by {errors[what]:.1e}, and {allowed:.1g} is allowed"
            )
    return errors


def _farthest(found: Arrays, wanted: Arrays) -> tuple[str, float]:
    """The array that is farthest off, and by how much."""
    whole = np.sqrt(sum(float((a**2).sum()) for a in wanted.values()))
    errors = {}
    for name, a in wanted.items():
        scale = max(float(np.linalg.norm(a)), SMALL * whole)
        errors[name] = float(np.linalg.norm(found[name] - a)) / scale
    worst = max(errors, key=lambda name: (np.isnan(errors[name]), errors[name]))
    return worst, errors[worst]
