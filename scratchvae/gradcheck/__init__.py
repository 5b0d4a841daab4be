"""The gradient checker: for functions, layers, likelihoods and models of anyone's.

:func:`assert_gradient` checks a function with a hand-written backward pass, :func:`gradcheck` a
layer or model of this package as well. The names below are loaded when they are first used. What
proves this package with it is in ``selfcheck``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchvae.gradcheck.check import (
        assert_gradient,
        check_gradient,
        check_subject,
        gradcheck,
    )
    from scratchvae.gradcheck.live import LiveCheck, live_rows, verify_live
    from scratchvae.gradcheck.measure import gradient_error
    from scratchvae.gradcheck.methods import METHODS
    from scratchvae.gradcheck.report import (
        Finding,
        GradientError,
        Outcome,
        Report,
        UncheckableError,
    )
    from scratchvae.gradcheck.subjects import Subject

_HOME = {
    "METHODS": "methods",
    "Finding": "report",
    "GradientError": "report",
    "LiveCheck": "live",
    "Outcome": "report",
    "Report": "report",
    "Subject": "subjects.base",
    "UncheckableError": "report",
    "assert_gradient": "check",
    "check_gradient": "check",
    "check_subject": "check",
    "gradcheck": "check",
    "gradient_error": "measure",
    "live_rows": "live",
    "verify_live": "live",
}

__all__ = [
    "METHODS",
    "Finding",
    "GradientError",
    "LiveCheck",
    "Outcome",
    "Report",
    "Subject",
    "UncheckableError",
    "assert_gradient",
    "check_gradient",
    "check_subject",
    "gradcheck",
    "gradient_error",
    "live_rows",
    "verify_live",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"scratchvae.gradcheck.{_HOME[name]}"), name)
    raise AttributeError(f"module 'scratchvae.gradcheck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
