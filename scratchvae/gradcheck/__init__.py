"""The gradient checker: for functions, layers, likelihoods and models of anyone's.

:func:`gradcheck` checks one of them. What proves this package with it is in ``selfcheck``.
"""

from scratchvae.gradcheck.check import check_subject, gradcheck
from scratchvae.gradcheck.live import LiveCheck, live_rows, verify_live
from scratchvae.gradcheck.measure import gradient_error
from scratchvae.gradcheck.methods import METHODS
from scratchvae.gradcheck.report import Finding, GradientError, Report, UncheckableError
from scratchvae.gradcheck.subjects import Subject

__all__ = [
    "METHODS",
    "Finding",
    "GradientError",
    "LiveCheck",
    "Report",
    "Subject",
    "UncheckableError",
    "check_subject",
    "gradcheck",
    "gradient_error",
    "live_rows",
    "verify_live",
]
