"""A detector of outliers: rows of which a variational autoencoder finds log p(x) low."""

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin, _fit_context
from sklearn.utils._param_validation import Interval

from scratchvae.sklearn.base import BaseVAE
from scratchvae.types import Values


class VAEOutlierDetector(OutlierMixin, BaseVAE):
    """Calls the rows of lowest log p(x) outliers, by a VAE that is fitted to all of them.

    Unless another likelihood is named, all data are standardized and Gaussian, those in [0, 1],
    too: a Bernoulli could not score a row outside.

    Parameters
    ----------
    contamination : float
        The share of outliers among the rows of the fit, at most one half. The other parameters,
        and the attributes, are those of :class:`~scratchvae.sklearn.VAE`.

    Attributes
    ----------
    offset_ : float
        Rows with a smaller log p(x), in nats, are outliers.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseVAE._parameter_constraints,
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
    }

    def __init__(
        self,
        n_components: int = 2,
        *,
        contamination: float = 0.1,
        hidden: Any = (100,),
        activation: str = "tanh",
        likelihood: str = "gaussian-per-pixel",
        std: float = 0.5,
        standardize: bool | str = True,
        beta: float = 1.0,
        lr: float = 1e-3,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        log_likelihood: str = "importance",
        n_draws: int = 100,
        random_state: Any = None,
        device: str = "cpu",
        verbose: bool | int = False,
    ) -> None:
        super().__init__(
            n_components,
            hidden=hidden,
            activation=activation,
            likelihood=likelihood,
            std=std,
            standardize=standardize,
            beta=beta,
            lr=lr,
            batch_size=batch_size,
            max_iter=max_iter,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            log_likelihood=log_likelihood,
            n_draws=n_draws,
            random_state=random_state,
            device=device,
            verbose=verbose,
        )
        self.contamination = contamination

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Values, y: Any = None) -> "VAEOutlierDetector":
        """Train on the rows of X, (n_samples, n_features), and set ``offset_``; ``y`` is ignored.

        ``offset_`` is the value of ``score_samples`` below which the share ``contamination`` of
        the rows of X lie.
        """
        self._fit(X)
        scores = self.score_samples(X)
        self.offset_ = float(np.percentile(scores, 100.0 * self.contamination))
        return self

    def decision_function(self, X: Values) -> NDArray[np.float64]:
        """log p(x) − ``offset_`` of each row, in nats: negative for outliers."""
        return np.asarray(self.score_samples(X) - self.offset_)

    def predict(self, X: Values) -> NDArray[np.int64]:
        """−1 for outliers and 1 for inliers: (n_samples,)."""
        return np.where(self.decision_function(X) >= 0, 1, -1)
