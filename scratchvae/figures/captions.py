"""What every figure shows and what to look for in it, for pages that hold several."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class About(NamedTuple):
    """A figure in words."""

    shows: str  # for those who cannot see it
    look_for: str = ""  # one line below it
    section: str = "Other figures"  # of a page


TRAINING, RECONSTRUCTION, GENERATION = "Training", "Reconstruction", "Generation"
LATENT, DATA, STAGES = "The latent plane", "Data", "By stage"

# By the names of their files, in the order to read them.
CAPTIONS = {
    "losses": About(
        "Losses over the epochs, and the two terms of the test loss.",
        "A test loss (E2) that turns up while the training loss still falls is overfitting.",
        TRAINING,
    ),
    "reconstructions": About(
        "Test images above their reconstructions.",
        "What comes back blurred, or as another image, is what z could not keep.",
        RECONSTRUCTION,
    ),
    "film_strip": About(
        "The same test images, reconstructed after more and more epochs.",
        "At first all columns are one mean image; when does each become its own?",
        RECONSTRUCTION,
    ),
    "completion": About(
        "A training image, what is seen of it, and its completions.",
        "Completions should agree with what is seen and differ elsewhere: E[x|z] averaged over "
        "the fitted q(z), then single draws of z (E60, E61).",
        RECONSTRUCTION,
    ),
    "posterior": About(
        "log p(seen part, z) over the latent plane, and q(z) before and after the fit.",
        "The fitted ellipse should lie on one peak of log p(seen part, z); other peaks are "
        "completions that it leaves out (E60).",
        RECONSTRUCTION,
    ),
    "feature_reconstructions": About(
        "Test rows beside their reconstructions, feature by feature.",
        "Points on the diagonal are features that z keeps; a level line is one that it ignores.",
        RECONSTRUCTION,
    ),
    "feature_errors": About(
        "Errors of the reconstructions, feature by feature.",
        "1 means no better than the feature's mean; 0 would be a perfect reconstruction.",
        RECONSTRUCTION,
    ),
    "prior_samples": About(
        "Images from the prior: means of the decoder, and draws; of a conditional model, each row "
        "has one condition.",
        "Are all images plausible, and are all kinds of the data among them (E20)?",
        GENERATION,
    ),
    "interpolations": About(
        "Decoder means on the way from one training image to another, along the line and along "
        "the sphere.",
        "Every step should be a plausible image; a blur between two is a part of the latent space "
        "without data (E62).",
        GENERATION,
    ),
    "feature_distributions": About(
        "Every feature in the test rows and in draws from the prior.",
        "The two outlines of a feature should agree; a peak of the data alone is never drawn.",
        GENERATION,
    ),
    "latent_scatter": About(
        "Posterior means of the test split, by class.",
        "Classes that overlap are confused in reconstructions; on the right, an even square would "
        "fit the prior best (E12).",
        LATENT,
    ),
    "latent_grid": About(
        "Means of the decoder over the latent plane.",
        "The same plane from the other side: find each cloud of points above as a region of "
        "images here.",
        LATENT,
    ),
    "latent_scatter_train": About(
        "Posterior means of the training split, by class.",
        "It should look like the test split; tighter clouds here are a sign of overfitting (E12).",
        LATENT,
    ),
    "data": About(
        "Training images, as the model sees them.",
        "Are they upright, of the right polarity, and cut off nowhere?",
        DATA,
    ),
    "nll": About(
        "−log p(x) of the test images by the passes over the training images.",
        "Does each curve end at its dashed line, which the paper prints for the whole schedule?",
        STAGES,
    ),
    "active": About(
        "Latent units whose mean varies by more than 0.01 over images.",
        "More samples per image should keep more units at work.",
        STAGES,
    ),
    "ablation": About(
        "−log p(x) of the test images with one point of the settings changed alone.",
        "A curve apart from the others is a setting that matters.",
        STAGES,
    ),
}


def captioned(folder: Path) -> dict[Path, About]:
    """The PNG files of a folder of figures and what to say of them, in the order to read them."""
    return in_order(folder.glob("*.png"))


def in_order(paths: Iterable[Path]) -> dict[Path, About]:
    """Figures with their words; one that has none stands at the end, under its name."""
    order = {name: place for place, name in enumerate(CAPTIONS)}
    found = sorted(paths, key=lambda path: (order.get(path.stem, len(order)), path.name))
    return {path: CAPTIONS.get(path.stem, About(_title(path.stem))) for path in found}


def _title(stem: str) -> str:
    """my_figure -> My figure."""
    return f"{stem.replace('_', ' ').capitalize()}."
