"""784-400-400-2 with ReLU on grey MNIST: the Gluon tutorial."""

from scratchvae.config import TrainConfig
from scratchvae.studies.study import Figure, Study

STUDY = Study(
    name="gluon",
    title="Variational Autoencoder, a Gluon tutorial",
    source="R. Ding, Variational Autoencoder (VAE), for MXNet Gluon, 2018",
    config=TrainConfig(
        data="mnist",
        binarize="none",
        hidden=(400, 400),
        activation="relu",
        latent_dim=2,
        likelihood="bernoulli",
        init="glorot-uniform",
        lr=1e-3,
        epochs=50,
        batch_size=100,
        shuffle=False,  # the tutorial's iterator reads the file in order
    ),
    target=Figure("test_loss", 46, 141.13),
    tolerance=0.5,
    published=(
        Figure("train_loss", 1, 184.74),
        Figure("test_loss", 1, 171.09),
        Figure("train_loss", 46, 137.45),
    ),
    published_seconds=1035.14,
    errata=(
        "adds 1e-10 inside the logarithms; here the loss is stable without a constant",
        "writes N(μ, σI) where N(μ, σ²I) is meant",
        "both signs of the KL are in play; the printed figures are −ELBO",
    ),
)
