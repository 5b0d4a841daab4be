"""Every operation that has a gradient, and every check that follows from having an entry."""

from scratchvae.selfcheck.coverage import uncovered
from scratchvae.selfcheck.entries import ENTRIES, Entry
from scratchvae.selfcheck.optimizers import OPTIMIZER_ENTRIES, OptimizerEntry
from scratchvae.selfcheck.run import Outcome, Results, Row, run_entry, run_registry

__all__ = [
    "ENTRIES",
    "OPTIMIZER_ENTRIES",
    "Entry",
    "OptimizerEntry",
    "Outcome",
    "Results",
    "Row",
    "run_entry",
    "run_registry",
    "uncovered",
]
