"""Grade a student's file in this process, which its code can end or hang: see contained.py.

    python -m scratchvae.exercises.grade FILE NAME RESULT

writes the outcome into RESULT as JSON.
"""

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from scratchvae.exercises.catalogue import exercise_named
from scratchvae.exercises.exercise import Exercise
from scratchvae.exercises.graders import PARTS
from scratchvae.exercises.report import Outcome
from scratchvae.exercises.verdict import NotWrittenError, WrongAnswerError

MEMORY = 8 << 30  # bytes of address space; the threads of BLAS reserve two or three of the GB


def load(path: Path) -> ModuleType:
    """The student's file as a module; raises what it raises."""
    spec = spec_from_file_location(f"student_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a SyntaxWarning is between Python and the student
        spec.loader.exec_module(module)
    return module


def grade_module(module: ModuleType, exercise: Exercise, file: str) -> Outcome:
    """Every part of an exercise, one after the other."""
    parts: dict[str, str | None] = {}
    label = ""
    for name, grade in PARTS[exercise.name].items():
        try:
            grade(module)
            parts[name] = "right"
        except NotWrittenError:
            parts[name] = None
        except WrongAnswerError as wrong:
            parts[name] = str(wrong)
            label = label or wrong.label
    return Outcome(file, exercise.title, parts, label or exercise.labels[0])


def grade_file(path: Path, exercise: Exercise) -> Outcome:
    """Import a file and grade it; a file that cannot be imported is not graded."""
    try:
        module = load(path)
    except NotImplementedError:
        return broken(path, exercise, "calls what is not written yet while it is imported")
    except SyntaxError as error:
        return broken(path, exercise, f"is not Python: {error.msg} in line {error.lineno}")
    except SystemExit:
        return broken(path, exercise, "ends Python (SystemExit) while it is imported")
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return broken(path, exercise, f"cannot be imported: {what}")
    try:
        return grade_module(module, exercise, path.name)
    except SystemExit:
        return broken(path, exercise, "ends Python (SystemExit) while it is graded")


def broken(path: Path, exercise: Exercise, why: str) -> Outcome:
    """The outcome of a file that could not be graded."""
    return Outcome(path.name, exercise.title, broken=f"{path.name} {why}")


def limit_memory() -> None:
    """Let this process have no more than MEMORY, on systems that know of such a limit."""
    try:
        import resource
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def main(argv: Sequence[str]) -> None:
    """Grade one file; the outcome goes into a file, since stdout is the student's."""
    limit_memory()
    path, name, result = argv
    outcome = grade_file(Path(path), exercise_named(name)[1])
    Path(result).write_text(json.dumps(asdict(outcome)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # whatever threads and exit handlers the student's code has left
