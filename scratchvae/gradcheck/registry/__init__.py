"""Every operation that has a gradient, and every check that follows from having an entry."""

from scratchvae.gradcheck.registry.cover import uncovered
from scratchvae.gradcheck.registry.entries import ENTRIES, Entry
from scratchvae.gradcheck.registry.equations import OPTIMIZER_ENTRIES, OptimizerEntry
from scratchvae.gradcheck.registry.run import Outcome, Results, Row, run_entry, run_registry

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
