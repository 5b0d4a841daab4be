"""A study: a tutorial's settings and figures, declared as data."""

from dataclasses import dataclass, replace

from scratchvae.config import TrainConfig
from scratchvae.evaluation import CompletionSettings

MEASURED_ON = "2 cores of an AMD EPYC with AVX-512"  # the machine of every Study.minutes


@dataclass(frozen=True)
class Tutorial:
    """Where the published figures can be checked; "" for what is not known."""

    title: str
    author: str = ""
    date: str = ""  # as the tutorial states it
    address: str = ""
    opening: str = ""  # its first words, where it has no title

    def cite(self) -> str:
        """Author, title, date and address in one line, which says what is not known."""
        parts = {
            "author": self.author,
            "title": self.title and f"“{self.title}”",
            "date": self.date,
            "address": self.address,
        }
        unknown = [name for name, text in parts.items() if not text]
        known = ", ".join(filter(None, parts.values()))
        if not unknown:
            return known
        *first, last = unknown
        words = f"{', '.join(first)} and {last}" if first else last
        return f"{known or f'an article that begins “{self.opening} …”'} ({words} not known)"


@dataclass(frozen=True)
class Figure:
    """A number that a tutorial prints: a metric after an epoch, in nats per image."""

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
    tutorial: Tutorial
    config: TrainConfig
    minutes: float  # of one seed with all epochs, evaluation included, measured on MEASURED_ON
    target: Figure | None  # None: nothing was published
    tolerance: float = 0.0
    published: tuple[Figure, ...] = ()  # the others
    offset: float = 0.0  # nats
    drawn_images: int = 0  # how many test images, drawn at random, the tutorial reports; 0: all
    completion: CompletionTarget | None = None
    published_seconds: float | None = None  # for all epochs, on the tutorial's machine
    errata: tuple[str, ...] = ()  # what the tutorial says or does that is not so
    not_comparable: str = ""  # why nothing published can be compared; "": it can

    def verdict(self, ours: float) -> str:
        """How ``ours``, in the tutorial's own formula, compares with the target, in words."""
        if self.not_comparable:
            return f"not comparable: {self.not_comparable}"
        if self.target is None:
            return "no figure was published"
        return compare(ours, self.target.value, self.tolerance)

    def is_trained_as(self, config: TrainConfig) -> bool:
        """Whether ``config`` is the study's, whatever its seed and what a machine decides."""
        free = ("seed", "workers", "max_level", "verify_every")
        ours, theirs = self.config.to_json(), config.to_json()
        return all(ours[name] == theirs[name] for name in ours if name not in free)


def with_likelihood(study: Study, likelihood: str) -> Study:
    """The same study with another likelihood, with which nothing published can be compared."""
    if likelihood == study.config.likelihood:
        return study
    return replace(
        study,
        title=f"{study.title}, with another likelihood: {likelihood}",
        config=replace(study.config, likelihood=likelihood),
        target=None,
        published=(),
        offset=0.0,
        drawn_images=0,
        completion=None,
        published_seconds=None,
        not_comparable=f"the likelihood is {likelihood}, the tutorial's {study.config.likelihood}",
    )


def compare(ours: float, published: float, tolerance: float) -> str:
    """The verdict in words; less is better."""
    if ours < published:
        return "surpasses the published figure"
    if ours <= published + tolerance:
        return f"meets the published figure (within {tolerance:g} nats)"
    return f"falls short of the published figure by {ours - published:.2f} nats"
