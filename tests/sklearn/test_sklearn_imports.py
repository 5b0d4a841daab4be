"""What is said where scikit-learn is missing, or too old."""

import subprocess
import sys

import pytest

WHY = "needs scikit-learn, to make it look older"
MISSING = "import sys; sys.modules['sklearn'] = None; "
OLD = "import sklearn.utils.validation as v; del v.validate_data; "


@pytest.mark.parametrize("before", [MISSING, OLD])
def test_the_sentence_says_what_to_install(before) -> None:
    if before == OLD:
        pytest.importorskip("sklearn.utils.validation", reason=WHY)
    run = subprocess.run(
        [sys.executable, "-c", before + "import scratchvae; import scratchvae.sklearn"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "ImportError: scratchvae.sklearn needs scikit-learn 1.6 or newer: "
        'pip install "scikit-learn>=1.6"'
    )
