"""A study: a tutorial's settings and figures, declared as data."""

from dataclasses import dataclass, replace

from scratchvae.config import TrainConfig
from scratchvae.evaluation import CompletionSettings


@dataclass(frozen=True)
class Figure:
    """A number that a tutorial prints: a metric at an epoch, in nats per image."""

    metric: str  # a key of metrics.jsonl
    epoch: int
    value: float


@dataclass(frozen=True)
class CompletionTarget:
    """A training image that a tutorial completes, and the −ELBO that it prints of the seen part."""

    image: int  # in file order, from 0
    mask: str  # what is observed: a key of evaluation's masks
    settings: CompletionSettings
    published: float  # nats
    tolerance: float
    test_images: int = 100  # that we complete as well, to see how one image's figure can lie


@dataclass(frozen=True)
class Study:
    """Settings, published figures, and when ours meets the one that counts.

    The study meets its target when the mean over seeds of ``target``'s metric at its epoch is at
    most ``tolerance`` nats worse than published, and surpasses it when the mean is better. All
    figures are as the tutorial prints them; where its formula leaves out a constant, ``offset``
    is what makes them comparable: a tutorial's figure plus the offset is a loss as defined here.
    """

    name: str
    title: str
    source: str
    config: TrainConfig
    target: Figure | None  # None: nothing was published
    tolerance: float = 0.0
    published: tuple[Figure, ...] = ()  # the others
    offset: float = 0.0  # nats
    drawn_images: int = (
        0  # number of test images, drawn at random, that the tutorial reports on; 0: all
    )
    completion: CompletionTarget | None = None
    published_seconds: float | None = None  # for all epochs, on the tutorial's machine
    errata: tuple[str, ...] = ()  # what the tutorial says or does that is not so

    def verdict(self, ours: float) -> str:
        """How ``ours``, in the tutorial's own formula, compares with the target, in words."""
        if self.target is None:
            return "no figure was published"
        return compare(ours, self.target.value, self.tolerance)


def with_likelihood(study: Study, likelihood: str) -> Study:
    """The same study with another likelihood, for which nothing was published."""
    if likelihood == study.config.likelihood:
        return study
    config = replace(study.config, likelihood=likelihood)
    return replace(study, config=config, target=None, published=(), offset=0.0, completion=None)


def compare(ours: float, published: float, tolerance: float) -> str:
    """The verdict in words; less is better."""
    if ours < published:
        return "surpasses the published figure"
    if ours <= published + tolerance:
        return f"meets the published figure (within {tolerance:g} nats)"
    return f"falls short of the published figure by {ours - published:.2f} nats"
