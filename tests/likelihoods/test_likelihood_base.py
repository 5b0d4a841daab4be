"""What all likelihoods have: logits of a mean, and a word where a method is missing."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logit

from scratchvae.errors import ConfigError, MissingMethodError
from scratchvae.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood

MEANS = np.array([0.0, 0.0005, 0.0015, 0.2, 0.9985, 0.9995, 1.0])


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.5)], ids=repr)
def test_e20_the_logits_of_a_mean_are_the_log_odds_of_the_clipped_mean(likelihood, cpu64):
    means, out = MEANS.copy(), np.empty(7)
    likelihood.logits(cpu64, means, out)
    clipped = [0.001, 0.001, 0.0015, 0.2, 0.9985, 0.999, 0.999]
    np.testing.assert_allclose(out, logit(clipped), rtol=1e-12)
    np.testing.assert_array_equal(means, MEANS)


def test_where_a_mean_is_the_logit_it_is_its_own_logit(cpu64):
    means, out = np.array([-3.0, 0.0, 7.0]), np.empty(3)
    Gaussian(0.5, "identity").logits(cpu64, means, out)
    np.testing.assert_array_equal(out, means)


def test_a_likelihood_of_several_logits_per_pixel_has_none_that_a_mean_decides(cpu64):
    with pytest.raises(ConfigError, match="levels does not say which logits have a given mean"):
        Categorical(5).logits(cpu64, MEANS, np.empty(7))


def test_only_a_likelihood_with_parameters_needs_their_gradient(cpu64):
    class Shifted(Likelihood):
        """A likelihood whose author has forgotten the gradient."""

    for none in (None, SimpleNamespace()):
        Shifted().grad_params(cpu64, None, 1.0, none, None)
    with pytest.raises(MissingMethodError, match=r"Shifted has parameters.*g\.shift\[\.\.\.\] = "):
        Shifted().grad_params(cpu64, None, 1.0, SimpleNamespace(shift=np.empty(1)), None)
