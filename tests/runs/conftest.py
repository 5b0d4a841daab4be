"""Tests of what lies on disk share the small trainings of ``tests/training``."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "training"), str(TESTS.parent)]  # helpers; benchmarks
