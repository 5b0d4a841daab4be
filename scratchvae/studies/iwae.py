"""The studies `iwae` and `iwae-2`: table 1 of importance-weighted autoencoders.

One stochastic layer, and two.

The paper's text and its authors' program (github.com/yburda/iwae) differ. The variant ``code`` is
the program, ``paper`` the text, with what is customary where the text says nothing.
"""

from dataclasses import replace

from scratchvae.config import TrainConfig
from scratchvae.studies.staged import Point, StagedStudy, Variant
from scratchvae.studies.study import Tutorial

STAGES = 8


def adam(**changes: object) -> tuple[str, ...]:
    """Adam as the program has it, but for ``changes``."""
    settings = {"beta1": 0.99, "beta2": 0.999, "eps": 1e-4, "v0": 1.0, "eps_hat": "true"} | changes
    return tuple(f"{name}={value}" for name, value in settings.items())


CODE = TrainConfig(
    data="mnist",
    subset="first:59600",
    binarize="dynamic",
    hidden=(200, 200),
    activation="tanh",
    latent_dim=50,
    likelihood="bernoulli",
    head="logstd",
    init="glorot-uniform",
    heads="equal",  # the program draws every layer from the same seed, the two heads among them
    output_bias="mean",
    optimizer="adam",
    optimizer_settings=adam(),
    reduction="sum",
    shuffle=False,
    batch_size=20,
    workers=1,  # the same bits on any number of cores, and trainings beside each other
)
PAPER = replace(
    CODE,
    subset="",
    heads="independent",
    output_bias="init",
    optimizer_settings=adam(beta1=0.9, v0=0.0, eps_hat="false"),
    reduction="mean",
    shuffle=True,
)

STUDY = StagedStudy(
    name="iwae",
    title="784-200-200-50 with tanh, trained by the ELBO and by the importance-weighted bound",
    source=Tutorial(
        title="Importance Weighted Autoencoders",
        author="Y. Burda, R. Grosse and R. Salakhutdinov",
        date="ICLR 2016",
        address="https://arxiv.org/abs/1509.00519",
    ),
    variants={
        "code": Variant(CODE, tuple(round(10 * 10 ** (-i / 7), 1) / 1e4 for i in range(STAGES))),
        "paper": Variant(PAPER, tuple(1e-3 * 10 ** (-i / 7) for i in range(STAGES))),
    },
    passes=tuple(3**i for i in range(STAGES)),
    published={
        ("vae", 1): 86.76,
        ("vae", 5): 86.47,
        ("vae", 50): 86.35,
        ("iwae", 5): 85.54,
        ("iwae", 50): 84.78,
    },
    points=(
        Point("bias-zero", "the output bias starts at zero", {"output_bias": "init"}),
        Point("beta1-0.9", "β₁ is 0.9", {"optimizer_settings": adam(beta1=0.9)}),
        Point("v0-zero", "v starts at zero", {"optimizer_settings": adam(v0=0.0)}),
        Point("mean-gradient", "the gradient is the mean over the batch", {"reduction": "mean"}),
        Point("shuffled", "the images are shuffled", {"shuffle": True}),
        Point("independent-heads", "the heads start independent", {"heads": "independent"}),
        Point("kl-warmup", "the KL's weight grows over 200,000 steps", {"kl_warmup": 200_000}),
    ),
    small={
        "data": "digits",
        "subset": "",
        "hidden": (32, 32),
        "latent_dim": 8,
    },
)


def two_layers(variant: Variant) -> Variant:
    """A reading of one layer with z_1 of 100 units in place of z, and z_2 of 50 behind it."""
    config = replace(variant.config, latent_dim=100, second_hidden=(100, 100), second_units=50)
    return replace(variant, config=config)


TWO_LAYERS = replace(
    STUDY,
    name="iwae-2",
    title="784-200-200-100-100-100-50 with tanh, two stochastic layers of 100 and 50 units, "
    "trained by the ELBO and by the importance-weighted bound",
    variants={name: two_layers(variant) for name, variant in STUDY.variants.items()},
    published={
        ("vae", 1): 85.33,
        ("vae", 5): 85.01,
        ("vae", 50): 84.78,
        ("iwae", 5): 83.89,
        ("iwae", 50): 82.90,
    },
    small={**STUDY.small, "second_hidden": (16,), "second_units": 4},
)

STUDIES = (STUDY, TWO_LAYERS)
