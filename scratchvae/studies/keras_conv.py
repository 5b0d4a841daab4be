"""The study `keras-conv`: six convolutions and RMSprop."""

from scratchvae.config import TrainConfig
from scratchvae.studies.study import Figure, Study, Tutorial

STUDY = Study(
    name="keras-conv",
    title="Convolutions down to two latent units and back: a Keras tutorial",
    tutorial=Tutorial(
        title="Latent variable models, part 2: Stochastic variational inference and variational "
        "autoencoders",
        author="M. Krasser",
        address="https://github.com/krasserm/bayesian-machine-learning "
        "(latent-variable-models/latent_variable_models_part_2.ipynb)",
    ),
    config=TrainConfig(
        data="mnist",
        binarize="threshold",
        encoder=(
            "reshape 28 28 1",
            "conv 32 3", "relu",
            "conv 64 3 2", "relu",
            "conv 64 3", "relu",
            "conv 64 3", "relu",
            "flatten",
            "dense 32", "relu",
        ),
        decoder=(
            "dense 12544", "relu",
            "reshape 14 14 64",
            "conv-transpose 32 3 2", "relu",
            "conv 1 3",
        ),
        latent_dim=2,
        likelihood="bernoulli",
        init="glorot-uniform",
        optimizer="rmsprop",
        lr=1e-3,
        epochs=20,
        batch_size=100,
    ),
    minutes=14.0,
    target=Figure("test_loss", 20, 143.31),
    tolerance=1.0,
    errata=(
        "writes g = μ + σ² ⊙ ε; its code has σ, as it should",
        "has the wrong sign on the reconstruction term of its equation 12",
    ),
)  # fmt: skip
