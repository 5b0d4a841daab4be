"""What a study completes: the tutorial's image, and a hundred others to compare it with."""

from dataclasses import dataclass
from statistics import fmean, quantiles, stdev

from scratchvae.evaluation import Completion, as_seen_by_model, complete, find_mask
from scratchvae.models import Model
from scratchvae.studies.study import CompletionTarget, compare
from scratchvae.training import Prepared


@dataclass(frozen=True)
class Completed:
    """−ELBO of the observed part after the fit, in nats, for one model."""

    image: float  # the tutorial's
    error: float  # its Monte-Carlo standard error
    tests: tuple[float, ...]  # the first test images, in file order


def complete_as(
    target: CompletionTarget, model: Model, prepared: Prepared
) -> tuple[Completed, Completion]:
    """Complete what the tutorial completes, as it does; the numbers, and its image for a figure."""
    mask = find_mask(target.mask, prepared.dataset.row_shape)

    def fit(split: str, first: int, count: int) -> Completion:
        part = getattr(prepared, split).take(slice(first, first + count))
        images = as_seen_by_model(part, seed=prepared.config.seed)
        numbers = range(first, first + len(part))
        return complete(model, images, mask, settings=target.settings, numbers=numbers)

    found = fit("train", target.image, 1)
    tests = fit("test", 0, target.test_images)
    numbers = Completed(
        float(found.negative_elbo[0]),
        float(found.error[0]),
        tuple(float(value) for value in tests.negative_elbo),
    )
    return numbers, found


def describe(
    target: CompletionTarget, completed: list[Completed], not_comparable: str = ""
) -> tuple[str, ...]:
    """The completions of all seeds in words: beside the published figure, and among others.

    ``not_comparable``: why the published figure is not that of such a model; "": it is.
    """
    values = [c.image for c in completed]
    verdict = f"published {target.published:.2f} {not_comparable}: not compared"
    if not not_comparable:
        verdict = (
            f"published {target.published:.2f}: "
            f"{compare(fmean(values), target.published, target.tolerance)}"
        )
    each = ", ".join(f"{value:.2f}" for value in values)
    tests = [value for c in completed for value in c.tests]
    low, middle, high = quantiles(tests, n=4)
    return (
        f"completion of training image {target.image} from its {target.mask} half: −ELBO of that "
        f"half {each} nats, {verdict}",
        f"the same for {len(completed[0].tests)} test images: mean {fmean(tests):.2f}, standard "
        f"deviation {stdev(tests):.2f}, quartiles {low:.1f}, {middle:.1f}, {high:.1f} nats",
    )
