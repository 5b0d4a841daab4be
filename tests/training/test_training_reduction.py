"""The gradient of a step: that of the mean of the loss over the batch, or of the sum."""

import numpy as np
import pytest
from training_helpers import make_step, settings


def gradient(step: int, **changes):
    bound = make_step(settings(dtype="float64", **changes))
    bound.gradient(step + 1, step)
    return bound.grads.flat.copy()


@pytest.mark.parametrize("estimator", ["analytic", "monte-carlo", "iwae"])
@pytest.mark.parametrize(("step", "images"), [(0, 8), (3, 3)])  # the last batch is short
def test_the_sum_has_the_gradient_of_the_mean_times_the_images(step, images, estimator) -> None:
    mean = gradient(step, estimator=estimator, samples=2)
    total = gradient(step, estimator=estimator, samples=2, reduction="sum")
    np.testing.assert_allclose(total, images * mean, rtol=1e-12, atol=1e-15)
    assert np.abs(mean).max() > 1e-3
