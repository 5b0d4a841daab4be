"""What a check found: one of three outcomes, as text, as JSON and as an error."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from scratchvae.errors import ConfigError, ScratchVAEError
from scratchvae.types import Json


class Outcome(StrEnum):
    """Right, wrong, or not checked; the verdict in words says why."""

    RIGHT = "right"
    WRONG = "wrong"
    NOT_CHECKED = "not checked"


class GradientError(ScratchVAEError, AssertionError):
    """A gradient disagrees with its reference; ``report`` says where and in which way."""

    exit_code = 1

    def __init__(self, report: "Report") -> None:
        super().__init__(report.text())
        self.report = report


class UncheckableError(ConfigError):
    """A check makes no sense here: the message says why and what to change."""


class UnsteadyError(UncheckableError):
    """The same numbers give different results: a state, or noise that is no argument."""


class BrokenContractError(ConfigError):
    """The code under test changes what it is handed, or remembers what it was: it is wrong."""


@dataclass(frozen=True)
class Finding:
    """One argument: the error of its gradient (E27), its worst element, and what is wrong."""

    argument: str
    shape: tuple[int, ...]
    error: float
    tolerance: float
    outcome: Outcome
    verdict: str  # "right", what is wrong, or why it is not checked
    worst: tuple[int, ...] | None = None  # the index of the element that is furthest off
    found: float | None = None  # what backward has there
    expected: float | None = None  # what the method has there
    kinks: int = 0  # elements at a kink, where any slope in between is accepted
    # A relative error of this size would show in any element, or, along directions, in those of
    power: float | None = None  # the usual size
    declared: bool = False  # backward said that there is no gradient here: None

    @property
    def ok(self) -> bool:
        """Whether this gradient is right."""
        return self.outcome is Outcome.RIGHT

    def line(self) -> str:
        """One line of the report."""
        if self.outcome is Outcome.NOT_CHECKED:
            return f"  ??   {self.argument} {self.shape}: not checked: {self.verdict}"
        at = ""
        if self.worst is not None and not self.ok:
            index = ", ".join(map(str, self.worst))
            at = f"; worst at [{index}]: {self.found:.17g}, expected {self.expected:.17g}"
        kinks = f"; {self.kinks} at a kink" if self.kinks else ""
        mark = "ok  " if self.ok else "FAIL"
        return (
            f"  {mark} {self.argument} {self.shape}: error {self.error:.2g} "
            f"(tolerance {self.tolerance:.2g}): {self.verdict}{at}{kinks}"
        )


@dataclass(frozen=True)
class Report:
    """A whole check. ``str(report)``, :meth:`to_json` and :meth:`raise_if_failed` say the same."""

    subject: str
    method: str
    coverage: str  # "every element" or "3 directions"
    evaluations: int  # of the function, by the method
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Wrong if anything is; else not checked if anything is; a declared None is neither."""
        found = {f.outcome for f in self.findings if not f.declared}
        for outcome in (Outcome.WRONG, Outcome.NOT_CHECKED):
            if outcome in found:
                return outcome
        return Outcome.RIGHT if found else Outcome.NOT_CHECKED

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return self.outcome is Outcome.RIGHT

    @property
    def worst(self) -> float:
        """The largest error of any argument."""
        return max((f.error for f in self.findings), default=0.0)

    @property
    def power(self) -> float | None:
        """The least relative error of an element that would have been seen everywhere."""
        known = [f.power for f in self.findings if f.power is not None]
        return max(known) if known else None

    def __getitem__(self, argument: str) -> Finding:
        for finding in self.findings:
            if finding.argument == argument:
                return finding
        known = ", ".join(repr(f.argument) for f in self.findings)
        raise KeyError(f"nothing was found of {argument!r}; the arguments are {known}")

    def text(self) -> str:
        """The report for people."""
        head = (
            f"the gradient of {self.subject} is {self.outcome}: {self.method}, {self.coverage}, "
            f"{self.evaluations} evaluations"
        )
        lines = [head, *(f.line() for f in self.findings)]
        if self.power is not None:
            which = "any element"
            if not self.coverage.startswith("every element"):  # small ones hide in a direction
                which += " of the usual size"
            lines.append(f"  a relative error of {self.power:.1g} in {which} would show")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    __str__ = text

    def to_dict(self) -> Json:
        """The report as plain data."""
        whole: Json = {"ok": self.ok, "outcome": str(self.outcome), "worst": self.worst}
        content = whole | {"power": self.power} | asdict(self)
        for finding, data in zip(self.findings, content["findings"], strict=True):
            data["ok"] = finding.ok
        return content

    def to_json(self) -> str:
        """The report as JSON; an infinite error is the string "inf"."""
        return json.dumps(_finite(self.to_dict()), indent=2)

    def raise_if_failed(self) -> "Report":
        """Itself when every gradient is right.

        ``GradientError`` with it where one is wrong, ``UncheckableError`` where one could not be
        checked.
        """
        if self.outcome is Outcome.WRONG:
            raise GradientError(self)
        if self.outcome is Outcome.NOT_CHECKED:
            raise UncheckableError(self.text())
        return self


def _finite(value: object) -> object:
    """JSON knows no infinity and no NaN: say them as strings."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    return value
