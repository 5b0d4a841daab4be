"""What the estimators share: parameters, the fit on the package's own training, log p(x)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from threading import RLock
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.errors import DataError
from scratchvae.layers import ACTIVATIONS
from scratchvae.models import Model
from scratchvae.runs.checkpoint import Checkpoint
from scratchvae.sklearn.density import LogDensity, importance_sampling, lower_bound
from scratchvae.training import (
    Prepared,
    choose_progress,
    pass_on_signal,
    prepare,
    train_prepared,
)
from scratchvae.types import Values

GAUSSIANS = ("gaussian", "gaussian-learned", "gaussian-per-pixel")
BATCH = 50  # rows, where batch_size is "auto"
FARTHEST = 1e140  # standard deviations: the square is finite, and below −LOWEST
FLOATS = (np.float64, np.float32)

_turn = RLock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread: the number of its threads changes the last bits of products.

    The limit is the whole process's, and the first thread to end would lift it under the others.
    So the threads of a search take turns; its processes, which are the default, run side by side.
    """
    with _turn, get_backend("cpu").limit_blas(1):
        yield


class BaseVAE(BaseEstimator):
    """A VAE with scikit-learn's conventions: what transformer and detector have in common.

    Parameters and attributes are explained in :class:`~scratchvae.sklearn.VAE`.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "likelihood": [StrOptions({"auto", "bernoulli", *GAUSSIANS})],
        "std": [Interval(Real, 0, None, closed="neither")],
        "standardize": ["boolean", StrOptions({"auto"})],
        "beta": [Interval(Real, 0, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "log_likelihood": [StrOptions({"importance", "bound"})],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "device": [StrOptions({"cpu", "cuda", "auto"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components: int = 2,
        *,
        hidden: Any = (100,),
        activation: str = "tanh",
        likelihood: str = "auto",
        std: float = 0.5,
        standardize: bool | str = "auto",
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
        self.n_components = n_components
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.std = std
        self.standardize = standardize
        self.beta = beta
        self.lr = lr
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.log_likelihood = log_likelihood
        self.n_draws = n_draws
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # ---- training ------------------------------------------------------------------------------

    def _fit(self, X: Values) -> None:
        """Train a new model for ``max_iter`` epochs, or until early stopping ends it."""
        X = validate_data(self, X, dtype=FLOATS)
        self._choose(X)
        held_out = 0
        if self.early_stopping:
            held_out = max(1, round(self.validation_fraction * len(X)))
            if held_out >= len(X):
                raise DataError(
                    f"early_stopping holds {held_out} of n_samples = {len(X)} rows out, and none "
                    "would be left to train on: give more rows, or set early_stopping=False"
                )
        self.loss_curve_: list[float] = []
        self.validation_loss_curve_: list[float] = []
        self._train(X, int(self.max_iter), held_out)

    def _choose(self, X: NDArray) -> None:
        """Choose likelihood, scale and seed of a new model; an earlier one is gone from here on."""
        self.__dict__.pop("model_", None)  # else a fit that fails would leave a mixture of two
        in_unit_interval = X.min() >= 0 and X.max() <= 1
        self.likelihood_ = self.likelihood
        if self.likelihood == "auto":
            self.likelihood_ = "bernoulli" if in_unit_interval else "gaussian-per-pixel"
        standardize = self.standardize
        if standardize == "auto":
            standardize = self.likelihood_ in GAUSSIANS and not in_unit_interval
        self.scaler_ = None
        if standardize:
            with np.errstate(all="ignore"):
                self.scaler_ = StandardScaler().fit(np.asarray(X, np.float64))
            if not np.isfinite(self.scaler_.scale_).all():
                raise DataError(
                    f"X reaches from {X.min():g} to {X.max():g}, and the square of that is no "
                    "number any more, so that no standard deviation exists: divide X by a power "
                    "of 10"
                )
        if isinstance(self.random_state, Integral):
            self.seed_ = int(self.random_state)
        else:
            self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))

    def _train(
        self, X: NDArray, epochs: int, held_out: int = 0, start: Checkpoint | None = None
    ) -> None:
        """Train on X for ``epochs`` epochs, from ``start`` on if it is given."""
        before = 0 if start is None else start.epoch
        prepared = replace(self._prepared(X, before + epochs, held_out), start=start)
        progress = choose_progress(verbose=bool(self.verbose))
        progress.note(f"rows are modelled by a {prepared.vae.likelihood.describe()}{self._scaled}")
        backend = get_backend(self.device)
        with one_blas_thread():
            training = train_prepared(prepared, backend=backend, progress=progress)
        pass_on_signal(training, "the fit is not completed, and keeps nothing of it")
        self.model_, self._state = training.model, training.state
        if training.best is not None:
            self._state = training.best
            self.model_.params.load(training.best.buffers["params"])
        self.loss_curve_ += [epoch["train_loss"] for epoch in training.metrics]
        self.validation_loss_curve_ += [
            epoch["validation_loss"] for epoch in training.metrics if held_out
        ]
        self.n_iter_ = len(self.loss_curve_)

    def _prepared(self, X: NDArray, epochs: int, held_out: int) -> Prepared:
        """Settings, model and data of a training; there are no rows to test on."""
        hidden = (self.hidden,) if isinstance(self.hidden, Integral) else tuple(self.hidden)
        rows = len(X) - held_out
        batch_size = BATCH if self.batch_size == "auto" else int(self.batch_size)
        config = TrainConfig(
            data="X",
            hidden=hidden,
            latent_dim=int(self.n_components),
            activation=self.activation,
            likelihood=self.likelihood_,
            std=float(self.std),
            beta=float(self.beta),
            lr=float(self.lr),
            batch_size=min(batch_size, rows),
            epochs=epochs,
            seed=self.seed_,
            validation=held_out,
            patience=int(self.n_iter_no_change) if held_out else 0,
            # The last bits depend on both, and a search runs its own processes.
            workers=1,
            compiled=False,
        )
        with np.errstate(over="ignore"):  # the split refuses what float32 cannot hold
            split = Split(self._to_model(X).astype(np.float32), None, None)
        prepared = prepare(config, Dataset("X", split, split, None))
        return replace(prepared, tested=False)

    # ---- between the units of X and those of the model -----------------------------------------

    def _to_model(self, X: NDArray) -> NDArray[np.float64]:
        """Rows of X as the model sees them, float64."""
        values = np.asarray(X, np.float64)
        if self.scaler_ is None:
            return values
        with np.errstate(over="ignore"):
            return np.clip((values - self.scaler_.mean_) / self.scaler_.scale_, -FARTHEST, FARTHEST)

    def _from_model(self, values: NDArray) -> NDArray[np.float64]:
        """The inverse of :meth:`_to_model`."""
        if self.scaler_ is None:
            return values
        return values * self.scaler_.scale_ + self.scaler_.mean_

    @property
    def _scaled(self) -> str:
        return "" if self.scaler_ is None else ", after standardizing each column"

    def _rows(self, X: Values) -> NDArray:
        """X as the fit has seen it: (N, D), float32 or float64."""
        check_is_fitted(self, "model_")
        return np.asarray(validate_data(self, X, dtype=FLOATS, reset=False))

    def _in_float64(self) -> Model:
        """The model in float64: a row's results then do not depend on the rows beside it."""
        return self.model_.to(get_backend(self.model_.bk.name, "float64"))

    # ---- log p(x) ------------------------------------------------------------------------------

    def score_samples(self, X: Values, *, return_error: bool = False) -> Any:
        """log p(x) of each row, in nats.

        By importance sampling with ``n_draws`` draws of z (E59), or the bound E1 from as many, as
        ``log_likelihood`` says. The noise of a row is a function of the seed of the fit and of
        the row's own numbers. For a Bernoulli of values between 0 and 1 it is a cross-entropy, not
        a density. If the columns are standardized, it is the density of the numbers as they are in
        X. A row so far out that its numbers overflow has −1e300.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_error : bool
            Return the standard error of each number, too, that is due to the draws of z; a single
            draw shows none, and the error is 0.

        Returns
        -------
        log_p : ndarray of shape (n_samples,), float64
        error : ndarray of shape (n_samples,), float64
            Only with ``return_error``.
        """
        rows = self._to_model(self._rows(X))
        estimate = importance_sampling if self.log_likelihood == "importance" else lower_bound
        with one_blas_thread():
            found = estimate(self._in_float64(), rows, int(self.n_draws), self.seed_)
        if self.scaler_ is not None:
            found = LogDensity(found.log_p - np.log(self.scaler_.scale_).sum(), found.error)
        return tuple(found) if return_error else found.log_p

    def score(self, X: Values, y: Any = None) -> float:
        """The mean of :meth:`score_samples`, in nats per row; ``y`` is ignored."""
        return float(self.score_samples(X).mean())
