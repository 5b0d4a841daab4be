"""Exercises made from this package's own sources, graded by mathematics.

``scratchvae exercises new DIR`` writes them, ``check DIR`` grades them; see docs/exercises.md. The
names below are loaded when they are first used: graders need SciPy, the rest does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchvae.exercises.catalogue import EXERCISES
    from scratchvae.exercises.contained import check_exercise, main
    from scratchvae.exercises.exercise import Exercise
    from scratchvae.exercises.notebook import grade_here
    from scratchvae.exercises.report import GradeReport, Outcome

_HOME = {
    "EXERCISES": "catalogue",
    "Exercise": "exercise",
    "GradeReport": "report",
    "Outcome": "report",
    "check_exercise": "contained",
    "grade_here": "notebook",
    "main": "contained",
}

__all__ = [
    "EXERCISES",
    "Exercise",
    "GradeReport",
    "Outcome",
    "check_exercise",
    "grade_here",
    "main",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"scratchvae.exercises.{_HOME[name]}"), name)
    raise AttributeError(f"module 'scratchvae.exercises' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
