"""scikit-learn's own checks of an estimator, every one of them, and their number."""

import json
import os
import subprocess
import sys
from unittest import SkipTest

import pytest

pytest.importorskip(
    "scratchvae.sklearn", reason="needs scikit-learn 1.6 or newer", exc_type=ImportError
)

from sklearn.utils.estimator_checks import (
    check_param_validation,
    estimator_checks_generator,
)

from scratchvae.sklearn import VAE, VAEOutlierDetector

KINDS = (VAE, VAEOutlierDetector)
CHECKS = 47  # of each, in scikit-learn 1.6 to 1.9; another number means new checks
FOR_ARRAY_API = "check_array_api_input"  # needs a variable set before SciPy is imported
ALL_CHECKS = """
import json
from sklearn.utils.estimator_checks import check_estimator
from scratchvae.sklearn import VAE, VAEOutlierDetector
for kind in (VAE, VAEOutlierDetector):
    results = check_estimator(kind(max_iter=50), on_skip=None, on_fail=None)
    print(json.dumps([(r["check_name"], r["status"], repr(r["exception"])) for r in results]))
"""


def checks_of(kind):
    """The checks of an estimator by their names, each to be called with the estimator."""
    found = []
    for estimator, check in estimator_checks_generator(kind(max_iter=20)):
        inner = check.func
        found.append((getattr(inner, "func", inner).__name__, estimator, check))
    return found


CASES = [
    pytest.param(estimator, check, id=f"{kind.__name__}-{name}-{number}")
    for kind in KINDS
    for number, (name, estimator, check) in enumerate(checks_of(kind))
    if name != FOR_ARRAY_API
]


@pytest.mark.parametrize(("estimator", "check"), CASES)
def test_a_check_of_scikit_learn_passes(estimator, check) -> None:
    try:
        check(estimator)
    except SkipTest as reason:
        pytest.fail(f"skipped: {reason}")


def test_every_check_passes_where_array_apis_are_on() -> None:
    run = subprocess.run(
        [sys.executable, "-c", ALL_CHECKS],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    for line, kind in zip(run.stdout.splitlines(), KINDS, strict=True):
        results = json.loads(line)
        assert [result for result in results if result[1] != "passed"] == []
        assert [name for name, *_ in results] == [name for name, *_ in checks_of(kind)]


def test_there_are_forty_seven_checks_of_each() -> None:
    assert [len(checks_of(kind)) for kind in KINDS] == [CHECKS, CHECKS]
    elsewhere = [name for kind in KINDS for name, *_ in checks_of(kind) if name == FOR_ARRAY_API]
    assert len(CASES) + len(elsewhere) == 2 * CHECKS


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_the_wrong_kind_is_refused_in_a_sentence(kind) -> None:
    check_param_validation(kind.__name__, kind(max_iter=20))
