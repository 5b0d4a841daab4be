"""Pages of one file each, that need no network and no server: reports of runs and of studies."""

from scratchvae.pages.run_report import write_run_report
from scratchvae.pages.staged_report import write_staged_report
from scratchvae.pages.study_report import Provenance, write_report

__all__ = ["Provenance", "write_report", "write_run_report", "write_staged_report"]
