"""The studies `quadrants-1`, `-2` and `-3`: hidden quadrants of digits from those that are seen."""

from scratchvae.config import TrainConfig
from scratchvae.studies.study import Figure, Study, Tutorial

PUBLISHED = {1: (71.8, 100.4), 2: (51.0, 61.9), 3: (24.2, 25.4)}  # its model, a plain network


def declare(seen: int) -> Study:
    """The study in which ``seen`` quadrants are seen."""
    ours, network = PUBLISHED[seen]
    return Study(
        name=f"quadrants-{seen}",
        title=f"{seen} of 4 quadrants seen, the others modelled: 784-500-500-200 on grey MNIST",
        tutorial=Tutorial(
            title="Conditional Variational Auto-encoder",
            author="Pyro's contributors",
            address="https://pyro.ai/examples/cvae.html",
        ),
        config=TrainConfig(
            data="mnist",
            binarize="none",
            condition=f"quadrants:{seen}",
            prior="conditional",
            hidden=(500, 500),
            activation="relu",
            latent_dim=200,
            likelihood="bernoulli",
            init="torch",
            head="logstd",
            lr=1e-3,
            epochs=10,
            batch_size=128,
        ),
        minutes=3.4,
        target=Figure("test_loss", 10, ours),
        tolerance=0.5,
        errata=(
            "calls its figure a Monte Carlo estimate of −log p, and its code computes a bound: "
            "−ELBO with ten samples from the encoder that has seen the hidden pixels, too",
            "stops when the test images have not improved for three epochs, and reports the best "
            "of them; here there are ten epochs, and nothing is chosen by the test images",
            "draws Bernoullis for grey pixels, which is a cross-entropy and no density; so it is "
            "here, to be compared",
            "hands its prior the completion by a network that was trained before, and its decoder "
            "z alone; here prior and decoder read what is seen",
            f"has {network} nats for that network alone",
        ),
    )


STUDIES = tuple(map(declare, PUBLISHED))
