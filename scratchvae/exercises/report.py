"""The results of grading: for people, and as the JSON that Gradescope reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scratchvae.types import Json


class Status(StrEnum):
    """Of an exercise: right, wrong, not written yet, or a file that could not be graded."""

    RIGHT = "right"
    WRONG = "wrong"
    EMPTY = "not written"
    BROKEN = "not graded"


MARKS = {Status.RIGHT: "ok", Status.WRONG: "FAIL", Status.EMPTY: "..", Status.BROKEN: "!!"}


@dataclass(frozen=True)
class Outcome:
    """One exercise: a verdict on each of its parts.

    ``parts``: "right", or what is wrong, or None for what is not written yet, by the name of the
    function. ``label``: the equation to look at. ``broken``: why the file could not be graded.
    """

    file: str
    title: str
    parts: Mapping[str, str | None] = field(default_factory=dict)
    label: str = ""
    broken: str = ""
    printed: str = ""  # what the student's code printed, from its beginning

    @property
    def status(self) -> Status:
        """The exercise as a whole: wrong before not written, not written before right."""
        if self.broken or not self.parts:
            return Status.BROKEN
        verdicts = set(self.parts.values())
        if verdicts == {"right"}:
            return Status.RIGHT
        return Status.EMPTY if verdicts <= {None, "right"} else Status.WRONG

    @property
    def score(self) -> float:
        """From 0 to 1: the share of its parts that are right."""
        right = sum(verdict == "right" for verdict in self.parts.values())
        return right / len(self.parts) if self.parts and not self.broken else 0.0

    @property
    def verdict(self) -> str:
        """The outcome, in one sentence."""
        if self.broken:
            return self.broken
        wrong = [v for v in self.parts.values() if v not in (None, "right")]
        if wrong:
            said = "; ".join(wrong)
            return f"{said} ({self.label}: docs/derivations.md)" if self.label else said
        empty = [name for name, verdict in self.parts.items() if verdict is None]
        return f"not written yet: {', '.join(empty)}" if empty else "right"

    def text(self) -> str:
        """A line, and a second one with what the code printed where it is wrong."""
        line = f"{MARKS[self.status]:<6}{self.file:<28}{self.verdict}"
        if self.printed and self.status is not Status.RIGHT:
            line += f"\n{'':<6}it printed: {self.printed.strip()}"
        return line

    def test(self) -> Json:
        """One of Gradescope's tests, out of one point."""
        return {
            "name": f"{self.file} {self.title}",
            "score": round(self.score, 4),
            "max_score": 1,
            "status": "passed" if self.status is Status.RIGHT else "failed",
            "output": self.verdict,
        }


@dataclass(frozen=True)
class GradeReport:
    """All that was graded."""

    outcomes: tuple[Outcome, ...]

    @property
    def solved(self) -> int:
        """How many are right."""
        return sum(each.status is Status.RIGHT for each in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0: all right; 1: something is wrong or not written; 2: a file could not be graded."""
        found = {each.status for each in self.outcomes}
        return 2 if Status.BROKEN in found else int(found != {Status.RIGHT})

    @property
    def progress(self) -> str:
        """9 of 15."""
        return f"{self.solved} of {len(self.outcomes)}"

    def to_json(self) -> Json:
        """The report as Gradescope's results.json has it; the rest is in ``extra_data``."""
        return {
            "score": round(sum(each.score for each in self.outcomes), 4),
            "output": self.progress,
            "tests": [each.test() for each in self.outcomes],
            "extra_data": {
                "solved": self.solved,
                "of": len(self.outcomes),
                "exercises": {
                    each.file: {
                        "status": str(each.status),
                        "parts": dict(each.parts),
                        "label": each.label,
                        "verdict": each.verdict,
                        "printed": each.printed,
                    }
                    for each in self.outcomes
                },
            },
        }
