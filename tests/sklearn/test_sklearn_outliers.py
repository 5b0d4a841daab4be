"""The detector: what it calls outliers, how many, and that it repeats itself."""

import pickle

import numpy as np
import pytest

pytest.importorskip(
    "scratchvae.sklearn", reason="needs scikit-learn 1.6 or newer", exc_type=ImportError
)

from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from scratchvae.sklearn import VAEOutlierDetector


@pytest.fixture(scope="module")
def polluted(table):
    """The table, and after it twelve rows whose columns are those of different rows."""
    rng = np.random.default_rng(3)
    wrong = np.stack([rng.permutation(column)[:12] for column in table.T], axis=1)
    return np.vstack([table, wrong])


def detector(**changes) -> VAEOutlierDetector:
    return VAEOutlierDetector(
        **({"hidden": (32,), "max_iter": 150, "lr": 5e-3, "random_state": 0} | changes)
    )


def test_rows_that_break_the_relations_between_columns_are_found(polluted) -> None:
    found = detector(contamination=12 / 132).fit(polluted)
    wrong = np.arange(132) >= 120
    assert roc_auc_score(wrong, -found.decision_function(polluted)) > 0.85
    labels = found.predict(polluted)
    assert (labels == -1).sum() == 12
    assert labels.dtype.kind == "i"


def test_the_decision_is_the_score_beside_the_quantile_of_the_fit(polluted) -> None:
    found = detector(max_iter=5, contamination=0.25).fit(polluted)
    scores = found.score_samples(polluted)
    assert found.offset_ == np.quantile(scores, 0.25)
    np.testing.assert_array_equal(found.decision_function(polluted), scores - found.offset_)
    np.testing.assert_array_equal(found.predict(polluted) == 1, scores >= found.offset_)


def test_the_same_seed_gives_the_same_bits_in_a_clone_and_a_pickle(polluted) -> None:
    first = detector(max_iter=5).fit(polluted)
    for again in (clone(first).fit(polluted), pickle.loads(pickle.dumps(first))):
        np.testing.assert_array_equal(again.score_samples(polluted), first.score_samples(polluted))
        assert again.offset_ == first.offset_
    other = detector(max_iter=5, random_state=1).fit(polluted)
    assert (other.score_samples(polluted) != first.score_samples(polluted)).all()
    np.testing.assert_array_equal(
        detector(max_iter=5).fit_predict(polluted), first.predict(polluted)
    )


def test_new_rows_outside_the_unit_interval_are_outliers_and_no_error(table) -> None:
    pipeline = make_pipeline(MinMaxScaler(), detector(max_iter=30)).fit(table)
    beyond = table[:3] + 10 * np.ptp(table, axis=0)
    assert list(pipeline.predict(beyond)) == [-1, -1, -1]


def test_constant_columns_and_repeated_rows_give_numbers(table) -> None:
    rows = np.column_stack([table, np.full(120, 0.1), np.zeros(120)])
    rows[60:] = rows[60]
    found = detector(max_iter=5).fit(rows)
    assert np.isfinite(found.score_samples(rows)).all()
    changed = rows[:2].copy()
    changed[:, -1] = 3.0
    assert list(found.predict(changed)) == [-1, -1]


@pytest.mark.parametrize("contamination", [0.0, 0.6, "auto", None])
def test_a_contamination_that_cannot_be_is_refused_in_a_sentence(contamination, table) -> None:
    sentence = "The 'contamination' parameter of VAEOutlierDetector must be a float in the range"
    with pytest.raises(ValueError, match=sentence):
        detector(contamination=contamination).fit(table)
