"""The transformer: the package's own training, and what scikit-learn's tools do with it."""

import pickle
import signal
import threading

import numpy as np
import pandas as pd
import pytest

pytest.importorskip(
    "scratchvae.sklearn", reason="needs scikit-learn 1.6 or newer", exc_type=ImportError
)

from joblib import Parallel, delayed, parallel_config
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from scratchvae import Dataset, TrainConfig, train
from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError, NonFiniteError
from scratchvae.sklearn import VAE, base


def small(**changes) -> VAE:
    return VAE(**({"hidden": (8,), "max_iter": 3, "random_state": 0} | changes))


def bits(vae: VAE) -> bytes:
    """Every parameter of the model and every loss of its training."""
    return vae.model_.params.flat.tobytes() + np.array(vae.loss_curve_).tobytes()


# ---- the training -------------------------------------------------------------------------------


def test_fit_is_the_training_of_the_package(pixels) -> None:
    config = TrainConfig(
        hidden=8, latent_dim=2, activation="tanh", epochs=3, workers=1, compiled=False
    )
    training = train(config, Dataset.from_arrays(pixels, pixels))
    vae = small().fit(pixels)
    np.testing.assert_array_equal(vae.model_.params.flat, training.model.params.flat)
    assert vae.loss_curve_ == [epoch["train_loss"] for epoch in training.metrics]
    assert vae.n_iter_ == 3


def test_a_table_is_standardized_and_gaussian_and_pixels_are_neither(table, pixels) -> None:
    of_table, of_pixels = small().fit(table), small().fit(pixels)
    assert (of_table.likelihood_, of_pixels.likelihood_) == ("gaussian-per-pixel", "bernoulli")
    np.testing.assert_allclose(of_table.scaler_.mean_, table.mean(axis=0))
    np.testing.assert_allclose(of_table.scaler_.scale_, table.std(axis=0))
    assert of_pixels.scaler_ is None


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian-learned", "bernoulli"])
def test_a_likelihood_that_is_named_is_used_as_it_is(likelihood, pixels) -> None:
    vae = small(likelihood=likelihood).fit(pixels)
    assert vae.likelihood_ == likelihood
    assert vae.scaler_ is None


def test_standardizing_is_done_or_left_out_as_it_is_said(table, pixels) -> None:
    done = small(likelihood="gaussian-learned", standardize=True).fit(pixels)
    np.testing.assert_allclose(done.scaler_.scale_, pixels.std(axis=0))
    assert small(standardize=False, lr=1e-5).fit(table / 1e3).scaler_ is None


def test_partial_fit_is_fit_epoch_by_epoch(table) -> None:
    whole, parts = small().fit(table), small()
    for _ in range(3):
        parts.partial_fit(table)
    assert bits(parts) == bits(whole)


def test_partial_fit_goes_on_after_fit_and_after_a_pickle(table) -> None:
    longer = small(max_iter=4).fit(table)
    again = pickle.loads(pickle.dumps(small().fit(table)))
    assert bits(again.partial_fit(table)) == bits(longer)


def test_partial_fit_takes_other_rows_and_keeps_the_scale_of_the_first(table) -> None:
    vae = small().partial_fit(table[:50]).partial_fit(table[50:])
    np.testing.assert_allclose(vae.scaler_.mean_, table[:50].mean(axis=0))
    assert vae.n_iter_ == 2


def test_early_stopping_keeps_the_best_epoch(table) -> None:
    stopping = small(early_stopping=True, n_iter_no_change=3, lr=0.1, max_iter=100)
    vae = stopping.fit(table)
    curve = vae.validation_loss_curve_
    assert vae.n_iter_ == len(curve) == np.argmin(curve) + 4 < 100
    best = clone(stopping).set_params(max_iter=int(np.argmin(curve)) + 1).fit(table)
    np.testing.assert_array_equal(vae.model_.params.flat, best.model_.params.flat)


def test_verbose_says_the_likelihood_and_a_line_per_epoch(table, capsys) -> None:
    small(verbose=True).fit(table)
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == (
        "rows are modelled by a Gaussian with a learned variance per pixel and identity mean, "
        "after standardizing each column"
    )
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    small().fit(table)
    assert capsys.readouterr().err == ""


def test_a_fit_that_diverges_leaves_nothing_of_the_model_before(table) -> None:
    vae = small().fit(table)
    with pytest.raises(NonFiniteError):
        vae.set_params(lr=1e30, activation="relu").fit(table * 2)
    with pytest.raises(NotFittedError):
        vae.transform(table)
    assert vae.set_params(lr=1e-3).fit(table).transform(table).shape == (120, 2)


def test_a_fit_that_is_interrupted_says_so(table) -> None:
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    vae = small(max_iter=10**6)
    with pytest.raises(KeyboardInterrupt, match="SIGINT ended the training: the fit is not"):
        vae.fit(table)
    assert not hasattr(vae, "model_")


# ---- the same bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_search_gives_the_same_bits_however_many_jobs_it_has(backend, table) -> None:
    search = GridSearchCV(small(hidden=(64,)), {"beta": [0.5, 1.0, 2.0]}, cv=2, n_jobs=1)
    alone = clone(search).fit(table)
    with parallel_config(backend=backend):
        shared = clone(search).set_params(n_jobs=2).fit(table)
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(shared.cv_results_[name], alone.cv_results_[name])
    assert bits(shared.best_estimator_) == bits(alone.best_estimator_)


def test_products_large_enough_for_several_threads_give_the_same_bits_in_every_process() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 60))
    wide = small(hidden=(400, 400), batch_size=100, max_iter=1)
    alone, *shared = (
        Parallel(n_jobs=jobs)(delayed(wide.fit_transform)(part) for part in (rows, rows[::-1]))
        for jobs in (1, 2)
    )
    np.testing.assert_array_equal(shared, [alone])


def test_a_seed_is_a_number_or_what_a_random_state_draws(table) -> None:
    states = [3, np.int64(3), np.random.RandomState(3), np.random.RandomState(3), None, None]
    seeds = [small(random_state=state).fit(table).seed_ for state in states]
    assert seeds[0] == seeds[1] == 3
    assert seeds[2] == seeds[3] == np.random.RandomState(3).randint(2**31 - 1)
    assert seeds[4] != seeds[5]


def test_a_clone_and_a_pickle_give_the_same_numbers(table) -> None:
    vae = small().fit(table)
    assert bits(clone(vae).fit(table)) == bits(vae)
    again = pickle.loads(pickle.dumps(vae))
    for method in ("transform", "score_samples"):
        np.testing.assert_array_equal(getattr(again, method)(table), getattr(vae, method)(table))
    np.testing.assert_array_equal(again.sample(5, 1), vae.sample(5, 1))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian-per-pixel"])
def test_a_device_gives_the_numbers_of_the_cpu(likelihood, pixels, monkeypatch) -> None:
    host = small(likelihood=likelihood).fit(pixels)
    devices = {"cuda": "strict"}  # refuses what a GPU would refuse
    monkeypatch.setattr(
        base,
        "get_backend",
        lambda device, dtype="float32": get_backend(devices.get(device, device), dtype),
    )
    device = small(likelihood=likelihood, device="cuda").fit(pixels)
    assert device.model_.bk.name == "strict"
    np.testing.assert_allclose(device.transform(pixels), host.transform(pixels), atol=1e-6)
    for kind in ("importance", "bound"):
        found, expected = (
            vae.set_params(log_likelihood=kind).score_samples(pixels) for vae in (device, host)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(device.sample(5, 1), host.sample(5, 1), atol=1e-5)


# ---- what it gives ------------------------------------------------------------------------------


def test_transform_gives_the_mean_and_inverse_transform_the_means_in_the_units_of_x(table) -> None:
    vae = small().fit(table)
    model, scaled = vae.model_, (table - table.mean(axis=0)) / table.std(axis=0)
    mu = vae.transform(table)
    np.testing.assert_allclose(mu, model.encode(scaled).mu, atol=1e-5)
    means = model.decode(mu) * table.std(axis=0) + table.mean(axis=0)
    np.testing.assert_allclose(vae.inverse_transform(mu), means, rtol=1e-4, atol=1e-4)


def test_results_have_the_float_type_of_the_rows(pixels) -> None:
    vae = small().fit(pixels)
    single = pixels.astype(np.float32)
    assert vae.transform(single).dtype == vae.inverse_transform(vae.transform(single)).dtype
    assert vae.transform(single).dtype == np.float32
    assert vae.transform(pixels).dtype == np.float64


def test_samples_have_the_mean_and_the_spread_of_the_rows(table) -> None:
    vae = small(max_iter=150, lr=3e-3, hidden=(32,)).fit(table)
    rows = vae.sample(4000, random_state=0)
    assert rows.shape == (4000, 4)
    np.testing.assert_array_less(abs(rows.mean(axis=0) - table.mean(axis=0)), 0.3 * table.std(0))
    np.testing.assert_allclose(rows.std(axis=0), table.std(axis=0), rtol=0.3)
    np.testing.assert_array_equal(vae.sample(7, 3), vae.sample(7, 3))
    assert (vae.sample(7) != vae.sample(7)).any()


def test_a_pipeline_and_data_frames_know_the_names(table) -> None:
    frame = pd.DataFrame(table, columns=list("abcd"), index=np.arange(120) + 7)
    vae = small(n_components=3).set_output(transform="pandas").fit(frame)
    out = vae.transform(frame)
    assert list(out.columns) == list(vae.get_feature_names_out()) == ["vae0", "vae1", "vae2"]
    assert list(out.index) == list(frame.index)
    assert list(vae.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        vae.transform(frame[list("bacd")])
    labels = table[:, 1] > table[:, 1].mean()
    classifier = make_pipeline(small(max_iter=50, lr=0.01), LogisticRegression())
    assert classifier.fit(frame, labels).score(frame, labels) > 0.8


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_components": 0}, "The 'n_components' parameter of VAE must be an int in the range"),
        ({"beta": "1"}, "The 'beta' parameter of VAE must be a float in the range"),
        ({"likelihood": "poisson"}, "The 'likelihood' parameter of VAE must be a str among"),
        ({"contaminate": 1}, "Invalid parameter 'contaminate' for estimator VAE"),
        ({"hidden": (8, 0)}, r"hidden is \(8, 0\), but it must be sizes of at least 1"),
        ({"likelihood": "bernoulli"}, "pixels lie outside"),
        ({"early_stopping": True, "validation_fraction": 0.999}, "none would be left to train on"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_a_sentence(changes, sentence, table) -> None:
    with pytest.raises(ValueError, match=sentence):
        small().set_params(**changes).fit(table)


def test_rows_that_cannot_be_are_refused_in_a_sentence(table, pixels) -> None:
    vae = small().fit(table)
    with pytest.raises(NotFittedError, match="This VAE instance is not fitted yet"):
        small().transform(table)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        vae.fit(csr_array(table))
    with pytest.raises(ValueError, match="X has 3 features, but VAE is expecting 4"):
        vae.transform(table[:, :3])
    with pytest.raises(ValueError, match=r"latent vectors have shape \(1, 3\), expected \(N, 2\)"):
        vae.inverse_transform([[0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="a whole number of images is drawn"):
        vae.sample(0)
    with pytest.raises(ValueError, match="so that no standard deviation exists"):
        small().fit(table * 1e200)
    with pytest.raises(ValueError, match="values are NaN or infinite as float32"):
        small(standardize=False).fit(table * 1e200)
    with pytest.raises(ValueError, match="partial_fit sees a part of the data"):
        small(early_stopping=True).partial_fit(table)
    with pytest.raises(ValueError, match=r"reach from 0 to 1\.5"):
        small().fit(pixels).transform(np.where(pixels > 0.9, 1.5, 0.0))
    with pytest.raises(CheckpointError, match="the state to start from belongs to another model"):
        vae.set_params(hidden=(9,)).partial_fit(table)
