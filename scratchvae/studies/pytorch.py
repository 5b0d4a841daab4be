"""The study `pytorch`: 500 images drawn with replacement."""

from scratchvae.config import TrainConfig
from scratchvae.studies.study import Study, Tutorial

STUDY = Study(
    name="pytorch",
    title="784-512-512-16 with Monte-Carlo KL on 500 images: a PyTorch tutorial",
    tutorial=Tutorial(
        title="",
        opening="If you have a foundational understanding of probability theory and wish",
    ),
    config=TrainConfig(
        data="mnist",
        subset="draw:300:500:100",
        binarize="none",
        hidden=(512, 512),
        activation="relu",
        latent_dim=16,
        likelihood="bernoulli",
        estimator="monte-carlo",
        init="torch",
        lr=1e-3,
        epochs=50,
        batch_size=16,
    ),
    minutes=0.3,
    target=None,
    # The prior's log-density lacks ½ log 2π for 15 of its 16 dimensions.
    offset=15 * 0.9189385332046727,
    errata=(
        "subtracts ½ log 2π once instead of once per latent dimension: its loss is 13.78 nats too "
        "low",
        "scales each batch by its own minimum and maximum",
        "clamps to 1 − 1e-12, which is 1 in float32: no clamp",
        "begins the categorical product at level 1, so that level 0 is dropped",
        "has the wrong sign in “Formulation 2”, and no (1 − x) log(1 − p)",
        "writes exp(log(logvar)) for the variance, and calls a diagonal covariance “without loss "
        "of generality”",
        "explains what goes wrong without reparameterization by high variance; the derivative of "
        "its sampler with respect to its parameters is zero, so that the encoder receives only "
        "the gradient of log q, whose mean is zero",
    ),
)
