"""The study `flux`, which completes half-seen images, too."""

from scratchvae.config import TrainConfig
from scratchvae.evaluation import CompletionSettings
from scratchvae.studies.study import CompletionTarget, Figure, Study, Tutorial

STUDY = Study(
    name="flux",
    title="784-500-2 with tanh, a head of log σ and Monte-Carlo KL: a Flux tutorial",
    tutorial=Tutorial(
        title="Variational Autoencoders on MNIST digits",
        author="A. Mohamed",
        date="2022-01-25",
    ),
    config=TrainConfig(
        data="mnist",
        subset="first:10000",
        binarize="threshold",
        hidden=(500,),
        activation="tanh",
        latent_dim=2,
        likelihood="bernoulli",
        head="logstd",
        estimator="monte-carlo",
        init="glorot-uniform",
        lr=1e-3,
        epochs=100,
        batch_size=100,
    ),
    minutes=0.6,
    target=Figure("test_loss", 100, 161.839),
    drawn_images=100,
    completion=CompletionTarget(
        image=57,  # the ninth 9
        mask="top",
        settings=CompletionSettings(
            steps=200,
            rate=1e-2,
            samples=10,
            optimizer="sgd",
            kl="sampled",
            mu=(2.0, -2.0),
            logstd=(0.5, 0.0),
        ),
        published=47.74,  # one draw of 10 samples
        tolerance=5.0,
    ),
    errata=(
        "prints the loss of one draw of 100 test images, which varies by about 4 nats from draw "
        "to draw; ours is that of all 10,000",
        "recomputes logits as log(θ/(1 − θ)) from the means, which overflows where θ rounds to 0 "
        "or 1",
        "leaves the logarithm out of the logit in a docstring",
    ),
)
