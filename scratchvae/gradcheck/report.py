"""What a check found: as text, as JSON, and as an error with the same content."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from scratchvae.errors import ConfigError, ScratchVAEError
from scratchvae.types import Json


class GradientError(ScratchVAEError, AssertionError):
    """A gradient disagrees with its reference; ``report`` says where and in which way."""

    exit_code = 1

    def __init__(self, report: "Report") -> None:
        super().__init__(report.text())
        self.report = report


class UncheckableError(ConfigError):
    """A check makes no sense here: the message says why and what to change."""


@dataclass(frozen=True)
class Finding:
    """One argument: the error of its gradient (E27), its worst element, and what is wrong."""

    argument: str
    shape: tuple[int, ...]
    error: float
    tolerance: float
    verdict: str  # "right", or what is wrong in words
    ok: bool
    worst: tuple[int, ...] | None = None  # the index of the element that is furthest off
    found: float | None = None  # what backward has there
    expected: float | None = None  # what the method has there
    kinks: int = 0  # elements with a kink in reach, where any slope in between is accepted

    def line(self) -> str:
        """One line of the report."""
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
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(f.ok for f in self.findings)

    @property
    def worst(self) -> float:
        """The largest error of any argument."""
        return max((f.error for f in self.findings), default=0.0)

    def __getitem__(self, argument: str) -> Finding:
        for finding in self.findings:
            if finding.argument == argument:
                return finding
        known = ", ".join(repr(f.argument) for f in self.findings)
        raise KeyError(f"nothing was found of {argument!r}; the arguments are {known}")

    def text(self) -> str:
        """The report for people."""
        verdict = "right" if self.ok else "wrong"
        head = (
            f"the gradient of {self.subject} is {verdict}: {self.method}, {self.coverage}, "
            f"{self.evaluations} evaluations"
        )
        return "\n".join([head, *(f.line() for f in self.findings), *self._note_lines()])

    def _note_lines(self) -> list[str]:
        return [f"  note: {note}" for note in self.notes]

    __str__ = text

    def to_dict(self) -> Json:
        """The report as plain data."""
        return {"ok": self.ok, "worst": self.worst, **asdict(self)}

    def to_json(self) -> str:
        """The report as JSON; an infinite error is the string "inf"."""
        return json.dumps(_finite(self.to_dict()), indent=2)

    def raise_if_failed(self) -> "Report":
        """Itself when every gradient is right; otherwise raises ``GradientError`` with it."""
        if not self.ok:
            raise GradientError(self)
        return self


def _finite(value: object) -> Any:
    """JSON knows no infinity and no NaN: say them as strings."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    return value
