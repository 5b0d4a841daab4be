"""A variational autoencoder as a transformer and a density of scikit-learn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from scratchvae.errors import ConfigError
from scratchvae.sklearn.base import FLOATS, BaseVAE, one_blas_thread
from scratchvae.types import Values


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    """A variational autoencoder: ``transform`` gives μ of q(z|x), ``score_samples`` log p(x).

    Data in [0, 1] have a Bernoulli likelihood unless another one is named; of data outside it each
    column is standardized, and is Gaussian with a variance of its own that is learned.

    Training is :func:`scratchvae.train`'s, in float32; results are computed in float64 and have
    the float type of X. The same ``random_state`` gives the same bits, in how many processes or
    threads a search may run. Where scikit-learn has a name for a setting, it is that; the others
    are those of :class:`~scratchvae.TrainConfig`. Wrong ones raise ``InvalidParameterError`` in
    ``fit``, rows that do not fit ``ValueError``. Sparse matrices are refused.

    Parameters
    ----------
    n_components : int
        The number of latent units.
    hidden : int or sequence of int
        Sizes of the encoder's hidden layers; the decoder has them in reverse.
    activation : {"tanh", "relu", "sigmoid"}
        Of the hidden layers. With "tanh" μ and σ stay bounded for rows far from all others.
    likelihood : {"auto", "bernoulli", "gaussian", "gaussian-learned", "gaussian-per-pixel"}
        The Gaussians have the standard deviation ``std``, one that is learned, or one for each
        column that is learned. "auto": as said above.
    std : float
        Of the likelihood "gaussian"; in standard deviations of a column where it is standardized.
    standardize : bool or "auto"
        Whether columns are modelled as (x − mean) / standard deviation. "auto": for a Gaussian of
        data outside [0, 1].
    beta : float
        The weight of the KL.
    lr : float
        Adam's learning rate.
    batch_size : int or "auto"
        Rows per step, at most those that there are. "auto": 50.
    max_iter : int
        The number of epochs.
    early_stopping : bool
        Hold ``validation_fraction`` of the rows out, stop after ``n_iter_no_change`` epochs in
        which the loss of these has not become better, and keep the parameters of the best epoch.
    validation_fraction : float
    n_iter_no_change : int
    log_likelihood : {"importance", "bound"}
        What ``score_samples`` and ``score`` compute: log p(x) by importance sampling, or the lower
        bound.
    n_draws : int
        The draws of z per row for that.
    random_state : int, RandomState instance or None
        A whole number is the seed of the training.
    device : {"cpu", "cuda", "auto"}
    verbose : bool or int
        Show the likelihood and the progress: a bar in a terminal or notebook, else lines.

    Attributes
    ----------
    model_ : scratchvae.Model
        The trained model, of rows as it sees them: standardized where ``scaler_`` is set.
    likelihood_ : str
        The likelihood that "auto" has chosen, or the one that was named.
    scaler_ : StandardScaler or None
    seed_ : int
    n_iter_ : int
        The number of epochs.
    loss_curve_ : list of float
        The training loss of each epoch, in nats per row as the model sees it.
    validation_loss_curve_ : list of float
        The same of the rows held out; empty without early stopping.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where all names of the columns of X are text.
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Values, y: Any = None) -> "VAE":
        """Train on the rows of X, (n_samples, n_features); ``y`` is ignored."""
        self._fit(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Values, y: Any = None) -> "VAE":
        """Train for one epoch on the rows of X, continuing where the last call ended.

        The first call chooses the likelihood and the scale of the columns.
        """
        if self.early_stopping:
            raise ConfigError(
                "partial_fit sees a part of the data and holds nothing out: set "
                "early_stopping=False, or call fit"
            )
        if not hasattr(self, "model_"):
            X = validate_data(self, X, dtype=FLOATS)
            self._choose(X)
            self.loss_curve_, self.validation_loss_curve_ = [], []
            self._train(X, epochs=1)
            return self
        self._train(self._rows(X), epochs=1, start=self._state)
        return self

    def transform(self, X: Values) -> NDArray:
        """μ of q(z|x) of each row: (n_samples, n_components), of the float type of X."""
        rows = self._rows(X)
        with one_blas_thread():
            mu = self._in_float64().encode(self._to_model(rows)).mu
        return mu.astype(rows.dtype)

    def inverse_transform(self, Z: Values) -> NDArray:
        """The means E[x|z] of latent vectors (n_samples, n_components), of their float type."""
        check_is_fitted(self, "model_")
        z = check_array(Z, dtype=FLOATS)
        with one_blas_thread():
            means = self._in_float64().decode(z)
        return self._from_model(means).astype(z.dtype)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[np.float64]:
        """Draw rows x ~ p(x|z) with z ~ p(z): (n_samples, n_features).

        A whole number as ``random_state`` gives the same rows at every call.
        """
        check_is_fitted(self, "model_")
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        with one_blas_thread():
            draws = self._in_float64().sample(n_samples, seed=seed).draws
        return self._from_model(draws)

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.vae.latent_dim)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
