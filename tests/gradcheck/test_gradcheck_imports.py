"""The gradient checks need NumPy and nothing else; Hypothesis only for its own module."""

import subprocess
import sys

import pytest
from hypothesis import settings

HEAVY = ("hypothesis", "torch", "scipy", "matplotlib", "sklearn", "cupy")


@pytest.mark.parametrize(
    "module",
    [
        "scratchvae.gradcheck",
        "scratchvae.selfcheck.mutation",
        "scratchvae.gradcheck.configurations",
    ],
)
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_profiles_are_registered():
    ci, dev, thorough = (settings.get_profile(n) for n in ("ci", "dev", "thorough"))
    assert ci.derandomize
    assert ci.database is None
    assert not dev.derandomize
    assert thorough.max_examples >= 2000
    assert ci.print_blob


CHECK = "from scratchvae.gradcheck import assert_gradient; import numpy; " + (
    "assert_gradient(numpy.exp, numpy.ones(2), vjp=lambda x, dy: dy * numpy.exp(x)); "
)


@pytest.mark.parametrize("code", ["import scratchvae.gradcheck; ", CHECK])
def test_checking_a_strangers_function_loads_none_of_the_rest(code):
    code = f"import sys; {code} print(*[m for m in sys.modules if m.startswith('scratchvae.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parts = {name.split(".")[1] for name in done.stdout.split()}
    assert parts <= {"gradcheck", "backend", "errors", "memory", "types"}
    assert len(done.stdout.split()) < 45


def test_importing_the_checker_takes_at_most_three_tenths_of_a_second_beyond_numpy():
    """The fastest of several starts: noise only ever adds time."""
    code = (
        "import time, numpy; begun = time.perf_counter();"
        "from scratchvae.gradcheck import assert_gradient; print(time.perf_counter() - begun)"
    )
    run = [sys.executable, "-c", code]
    starts = [subprocess.run(run, capture_output=True, text=True, check=True) for _ in range(4)]
    assert min(float(done.stdout) for done in starts) <= 0.3
