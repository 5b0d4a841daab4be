"""The process that waits for a rank: what it says when the rank is killed and rank 0 cannot."""

import subprocess
import sys

import pytest

CODE = """
import os, signal
from scratchvae.mpi import guardian
guardian.GRACE = 0.1
guardian.guard({rank})
os.kill(os.getpid(), signal.{signal})
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_while_the_others_leave_is_told(rank: int) -> None:
    """As after the last step, when rank 0 listens no longer."""
    words = [sys.executable, "-c", CODE.format(rank=rank, signal="SIGKILL")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    sentence = "was ended by SIGKILL; the job ends, and what is on disk is whole"
    assert done.stderr == f"scratchvae: rank {rank} {sentence}\n"
