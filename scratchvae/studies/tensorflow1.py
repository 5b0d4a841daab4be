"""The study `tensorflow1`: a Gaussian of standard deviation ½, its constant left out."""

import math

from scratchvae.config import TrainConfig
from scratchvae.studies.study import Figure, Study, Tutorial

STUDY = Study(
    name="tensorflow1",
    title="784-500-500-20 with sigmoids and Σ(x − x̂)²/0.5: a TensorFlow 1 tutorial",
    tutorial=Tutorial("Variational Autoencoder Tutorial in TensorFlow", "D. Zoltowski"),
    config=TrainConfig(
        data="mnist",
        subset="last:55000",  # the first 5,000 are set aside, as the tutorial's loader does
        binarize="none",
        hidden=(500, 500),
        activation="sigmoid",
        latent_dim=20,
        likelihood="gaussian",
        std=0.5,
        mean="sigmoid",
        init="truncated-normal",
        lr=1e-3,
        epochs=50,
        batch_size=100,
    ),
    minutes=2.1,
    target=Figure("train_loss", 50, 40.534),
    tolerance=0.3,
    published=(
        Figure("train_loss", 1, 101.71),
        Figure("train_loss", 10, 49.56),
        Figure("train_loss", 25, 43.64),
    ),
    # Σ(x − x̂)²/0.5 is −log N(x; x̂, ¼ I) but for ½ log(2π/4) per pixel.
    offset=784 * 0.5 * math.log(2 * math.pi * 0.25),
    errata=(
        "writes z = μ + ε · variance; its code takes the square root, as it should",
        "calls the encoder a decoder",
        "says that the standard deviation of its pixels is 1; Σ(x − x̂)²/0.5 implies ½ "
        "(against 1, the code is a β of ¼)",
        "leaves out the normalizing constant of 177.02 nats: its 40.534 is 217.55 as a bound of "
        "the density",
        "reports the loss under another ε than the one it updates with",
    ),
)
