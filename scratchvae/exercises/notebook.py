"""The exercises as Jupyter notebooks: a folder with one each, which grade themselves.

A notebook is JSON (nbformat 4.5), so writing one needs no package of Jupyter's. Its cells carry
nbgrader's metadata: the body is the cell to solve, the last cell the test, of one point.
"""

import json
import sys
from pathlib import Path

from scratchvae.exercises.catalogue import exercise_named, files
from scratchvae.exercises.exercise import Exercise
from scratchvae.exercises.folder import write_new
from scratchvae.exercises.report import Outcome, Status
from scratchvae.exercises.source import Given
from scratchvae.types import Json


def notebook(exercise: Exercise, number: int, solved: bool = False) -> Json:
    """A notebook: the text, the imports, what is given, what is to be written, and its test."""
    code = [(isinstance(part, Given), part.text(solved)) for part in exercise.code]
    name = exercise.name
    text = "\n".join(_markdown(line) for line in exercise.text.strip().splitlines())
    equations = ", ".join(exercise.labels)
    cells = [
        _cell("markdown", "text", f"# {number}. {exercise.title}\n\n{text}\n\nDerived in "
              f"docs/derivations.md: {equations}. Stuck? `!scratchvae exercises hint {name}`"),
        _cell("code", "imports", exercise.imports.strip()),
        *(_cell("code", f"part-{i}", source, _nbgrader(f"{name}-{i}", solution=not given))
          for i, (given, source) in enumerate(code)),
        _cell("code", "grade", "from scratchvae.exercises import grade_here\n\n"
              f'grade_here("{name}")',
              _nbgrader(name, points=1)),
    ]  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _markdown(line: str) -> str:
    """Equations are indented by four, which is a block of code; the rest is text as it stands."""
    return line if line.startswith("    ") else line.replace("*", r"\*").replace("_", r"\_")


def _cell(kind: str, name: str, source: str, more: Json | None = None) -> Json:
    cell: Json = {"cell_type": kind, "id": name, "metadata": more or {}, "source": source}
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell


def _nbgrader(name: str, solution: bool = False, points: int = 0) -> Json:
    known: Json = {"grade": points > 0, "grade_id": name, "locked": not solution}
    known |= {"schema_version": 3, "solution": solution, "task": False}
    return {"nbgrader": known | ({"points": points} if points else {})}


def new_notebooks(folder: Path) -> list[str]:
    """Write all exercises as notebooks into a new folder; their names.

    ``ConfigError`` for a folder that exists or cannot be made.
    """
    contents = {
        f"{Path(file).stem}.ipynb": json.dumps(notebook(each, i), indent=1, ensure_ascii=False)
        + "\n"
        for i, (file, each) in enumerate(files().items(), start=1)
    }
    write_new(folder, contents)
    return list(contents)


def grade_here(name: str) -> None:
    """Grade what the notebook has defined, in its own process; an ``AssertionError`` says more."""
    from scratchvae.exercises.grade import grade_module  # with SciPy, which writing does not need

    file, exercise = exercise_named(name)
    outcome: Outcome = grade_module(sys.modules["__main__"], exercise, file)
    if outcome.status is not Status.RIGHT:
        raise AssertionError(outcome.verdict)
    print("right")
