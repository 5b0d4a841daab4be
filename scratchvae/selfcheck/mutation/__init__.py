"""Planted bugs: proof that the suite sees what it claims to see."""

from scratchvae.selfcheck.mutation.gradients import KillTable, run_planted

__all__ = ["KillTable", "run_planted"]
