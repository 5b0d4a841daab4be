"""Grade a file in a process of its own, which may loop for ever, print without end, or die.

This protects the grader from accidents. It is no sandbox: malicious code needs one around it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import scratchvae
from scratchvae.errors import ConfigError
from scratchvae.exercises.catalogue import exercise_named, files
from scratchvae.exercises.exercise import Exercise
from scratchvae.exercises.report import GradeReport, Outcome, Status

SECONDS = 60  # for one exercise: the longest takes about five
OUTPUT = 1_000_000  # bytes that a student's code may print
SHOWN = 500  # bytes of these that a report shows


class Output(threading.Thread):
    """Reads what a process prints, keeps the beginning, and stops the process that prints on."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        super().__init__(daemon=True)
        self.process, self.kept, self.total = process, b"", 0

    def run(self) -> None:
        """Until the process closes its output."""
        assert self.process.stdout is not None
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            self.kept += chunk[: max(SHOWN - len(self.kept), 0)]
            self.total += len(chunk)
            if self.total > OUTPUT:
                stop(self.process)

    @property
    def text(self) -> str:
        """The beginning of it."""
        return self.kept.decode("utf-8", errors="replace")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process, and all that it started where that is possible."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass  # it has ended by itself


def check_exercise(path: Path, exercise: Exercise, seconds: float = SECONDS) -> Outcome:
    """Grade a student's file, within ``seconds``."""
    if not path.is_file():
        return Outcome(path.name, exercise.title, broken=f"{path.name} is not there")
    root = str(Path(scratchvae.__file__).parents[1])
    python_path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "outcome.json"
        process = subprocess.Popen(
            [sys.executable, "-m", "scratchvae.exercises.grade", str(path.resolve()),
             exercise.name, str(result)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=path.resolve().parent,
            env=os.environ | {"PYTHONPATH": python_path, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )  # fmt: skip
        output = Output(process)
        output.start()
        late = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            stop(process)
            process.wait()
            output.join(5)
            assert process.stdout is not None
            process.stdout.close()
        why = _why_not(process, output, late, seconds)
        if why is None:
            try:
                found = json.loads(result.read_text(encoding="utf-8"))
                return Outcome(**found | {"printed": output.text})
            except (OSError, ValueError, TypeError):
                why = f"ended Python with exit code {process.returncode} before it was graded"
        return Outcome(path.name, exercise.title, broken=f"{path.name} {why}", printed=output.text)


def _why_not(
    process: "subprocess.Popen[bytes]", output: Output, late: bool, seconds: float
) -> str | None:
    """Why the process left no outcome that counts."""
    if output.total > OUTPUT:
        return f"prints more than {OUTPUT // 1_000_000} MB and was stopped: a print in a loop?"
    if late:
        return (
            f"did not end within {seconds:g} seconds and was stopped: a loop without an end? "
            "(--seconds gives it longer)"
        )
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return f"was ended by the signal {name} before it was graded"
    return None


def check_folder(
    folder: Path,
    name: str | None = None,
    seconds: float = SECONDS,
    see: Callable[[Outcome], None] = lambda outcome: None,
) -> GradeReport:
    """Grade every exercise of a folder, or one; ``see`` is told of each as it is graded.

    Raises ``ConfigError`` for a folder without any.
    """
    known = files()
    if not any((folder / file).is_file() for file in known):
        raise ConfigError(
            f"there are no exercises in {folder}: scratchvae exercises new DIR writes them"
        )
    chosen = dict([exercise_named(name)]) if name else known
    outcomes = []
    for file, exercise in chosen.items():
        outcomes.append(check_exercise(folder / file, exercise, seconds))
        see(outcomes[-1])
    return GradeReport(tuple(outcomes))


def main(path: str) -> int:
    """What a student's file does when it is run: the verdict on itself, as an exit code, too."""
    exercise = exercise_named(Path(path).name)[1]
    report = GradeReport((check_exercise(Path(path), exercise),))
    outcome = report.outcomes[0]
    where = sys.stderr if outcome.status is Status.BROKEN else sys.stdout
    print(outcome.text(), file=where)
    return report.exit_code
