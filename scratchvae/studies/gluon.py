"""The study `gluon`: its reader visits the images in file order, unshuffled."""

from scratchvae.config import TrainConfig
from scratchvae.studies.study import Figure, Study, Tutorial

STUDY = Study(
    name="gluon",
    title="784-400-400-2 with ReLU on grey MNIST: the Gluon tutorial",
    tutorial=Tutorial(
        title="Variational Autoencoders with Gluon",
        author="R. Ding",
        address="https://gluon.mxnet.io/chapter13_unsupervised-learning/vae-gluon.html",
    ),
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
    minutes=1.7,
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
        "adds the KL in its text and subtracts it in its code, where KL names −KL; both are −ELBO, "
        "and so are its printed figures",
    ),
)
