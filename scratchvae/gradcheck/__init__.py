"""Gradient checks: for the code of this package, and for anyone's.

:func:`gradcheck` checks a function, layer, likelihood or model; :func:`run_registry` checks
everything that this package can train.
"""

from scratchvae.gradcheck.check import check_subject, gradcheck
from scratchvae.gradcheck.errors import GradientError, UncheckableError
from scratchvae.gradcheck.live import LiveCheck, live_rows, verify_live
from scratchvae.gradcheck.measure import gradient_error
from scratchvae.gradcheck.methods import METHODS
from scratchvae.gradcheck.registry import Results, run_registry
from scratchvae.gradcheck.report import Finding, Report
from scratchvae.gradcheck.subjects import Subject

__all__ = [
    "METHODS",
    "Finding",
    "GradientError",
    "LiveCheck",
    "Report",
    "Results",
    "Subject",
    "UncheckableError",
    "check_subject",
    "gradcheck",
    "gradient_error",
    "live_rows",
    "run_registry",
    "verify_live",
]
