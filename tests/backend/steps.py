"""Small trainings that use every estimator, optimizer, likelihood and kind of layer."""

import numpy as np

from scratchvae.backend import Backend, get_backend
from scratchvae.config import TrainConfig
from scratchvae.models import Model
from scratchvae.training import Batches, TrainingStep, Weighting, epoch_order

STEPS, ROWS, BATCH, SIDE, LEVELS = 50, 23, 5, 4, 3
BASE = {"hidden": (7,), "latent_dim": 2, "batch_size": BATCH, "dtype": "float32"}
CONV = {
    "encoder": (f"reshape {SIDE} {SIDE} 1", "conv 3 3 2", "relu", "flatten"),
    "decoder": ("dense 12", "relu", "reshape 2 2 3", "conv-transpose 1 3 2", "flatten"),
    "hidden": (),
}
SCHEDULE = {"lr": "warmup:7:cosine:0.01:0.001:40"}
CASES = {
    "analytic": {"samples": 2},
    "free bits": {"free_bits": 0.1, "kl_warmup": 9},
    "monte-carlo": {"estimator": "monte-carlo", "samples": 2, "kl_warmup": 12},
    "score": {"estimator": "score", "kl_warmup": 30},
    "score-baseline": {"estimator": "score-baseline", "samples": 3},
    "detached": {"estimator": "detached", "kl_warmup": 30},
    "iwae": {"estimator": "iwae", "samples": 3},
    "stl": {"estimator": "stl", "samples": 3},
    "dreg": {"estimator": "dreg", "samples": 3},
    "rmsprop": {"optimizer": "rmsprop"} | SCHEDULE,
    "sgd": {"optimizer": "sgd", "lr": "exponential:0.01:0.5:20"},
    "adagrad": {"optimizer": "adagrad"} | SCHEDULE,
    "adam": {"clip": 0.5, "kl_warmup": 20, "beta": 0.5} | SCHEDULE,
    "gaussian": {"likelihood": "gaussian", "head": "logstd", "activation": "tanh"},
    "learned gaussian": {"likelihood": "gaussian-learned", "activation": "sigmoid"},
    "a variance each": {"likelihood": "gaussian-per-pixel"},
    "categorical": {"likelihood": "categorical", "max_level": 3},
    "continuous Bernoulli": {"likelihood": "continuous-bernoulli"},
    "dynamic": {"binarize": "dynamic"},
    "planar": {"posterior": "planar", "flow_length": 2, "kl_warmup": 20},
    "radial": {"posterior": "radial", "flow_length": 2, "estimator": "iwae", "samples": 3},
    "autoregressive": {"posterior": "iaf", "flow_length": 2, "flow_hidden": 5},
    "convolutions": CONV | {"clip": 1.0},
    "convolutions, dynamic": CONV | {"binarize": "dynamic", "kl_warmup": 10},
}


def settings(case: str, **changes: object) -> TrainConfig:
    """The settings of a case."""
    return TrainConfig(**(BASE | CASES[case] | changes))


def make_step(
    config: TrainConfig,
    bk: Backend | None = None,
    captured: bool = True,
    side: int = SIDE,
    rows: int = ROWS,
    max_level: int = LEVELS,
) -> TrainingStep:
    """The step of a training on ``rows`` square images of whole levels, drawn at random."""
    bk = bk or get_backend("cpu", config.dtype)
    shape = rows, side * side
    images = np.random.default_rng(1).integers(0, max_level + 1, shape, dtype=np.uint8)
    vae = config.make_vae(side * side)
    return TrainingStep(
        Model(vae, bk, seed=config.seed),
        config.make_optimizer(),
        Batches(
            bk.array(images, dtype="uint8"),
            max_level,
            config.batch_size,
            config.seed,
            dynamic=config.binarize == "dynamic",
        ),
        weighting=Weighting(kl_warmup=config.kl_warmup),
        captured=captured,
    )


def run(
    step: TrainingStep, config: TrainConfig, steps_per_launch: int, steps: int = STEPS
) -> np.ndarray:
    """``steps`` steps over several epochs, with a short batch at the end of each: all losses."""
    per_epoch, losses, t = step.steps_per_epoch, [], 0
    while t < steps:
        i = t % per_epoch
        if i == 0:
            order = epoch_order(len(step.order), config.seed, 1 + t // per_epoch, True)
            step.bk.load(order, step.order)
        count = min(steps_per_launch, per_epoch - i, steps - t)
        step(t + 1, i, count)
        losses.append(step.bk.to_host(step.losses[i : i + count])[:, 0].copy())
        t += count
    return np.concatenate(losses)
