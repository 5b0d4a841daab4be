"""What can go wrong in a check: the gradient is wrong, or the thing cannot be checked at all."""

from typing import TYPE_CHECKING

from scratchvae.errors import ConfigError, ScratchVAEError

if TYPE_CHECKING:
    from scratchvae.gradcheck.report import Report


class GradientError(ScratchVAEError, AssertionError):
    """A gradient disagrees with its reference; ``report`` says where and in which way."""

    exit_code = 1

    def __init__(self, report: "Report") -> None:
        super().__init__(report.text())
        self.report = report


class UncheckableError(ConfigError):
    """A check makes no sense here: the message says why and what to change."""
