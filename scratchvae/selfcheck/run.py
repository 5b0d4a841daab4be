"""Run the registry: every check of every entry, as rows of one table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from typing import TypeVar

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.methods import method_named
from scratchvae.gradcheck.subjects import BufferedSubject
from scratchvae.selfcheck import checks
from scratchvae.selfcheck.checks import Case, Measured, yes_or_no
from scratchvae.selfcheck.entries import ENTRIES, ROWS, Entry
from scratchvae.selfcheck.optimizers import OPTIMIZER_ENTRIES, OptimizerEntry, optimizer_checks
from scratchvae.types import Json

Checked = TypeVar("Checked")  # a case, or an optimizer

THOROUGH_SEEDS = 8
Check = Callable[[Case], Measured]

ALWAYS: dict[str, Check] = {  # and what `checks_of` adds for entries that allow it
    "gradient": checks.gradient,
    "batch of one": checks.batch_of_one,
    "differences": checks.differences,
    "dot product": checks.dot_product,
    "linear in the cotangent": checks.linear,
    "zero cotangent": checks.zero_cotangent,
    "repeatable": checks.repeatable,
    "no stale buffer": checks.stale,
    "inputs unchanged": checks.inputs_unchanged,
    "shapes and dtypes": checks.shapes_and_dtypes,
    "batch permutation": checks.permuted,
    "float32 against float64": checks.single,
    "plain operations": checks.plain_operations,
    "strict device": checks.strict_device,
    "complex numbers": checks.complex_numbers,
}


@dataclass(frozen=True)
class Outcome:
    """One check of one entry: what was measured, what is allowed, and why it failed."""

    check: str
    error: float
    limit: float
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class Row:
    """An entry with all its checks."""

    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(o for o in self.outcomes if not o.ok)

    @property
    def gradient(self) -> float:
        """The worst error of the gradient itself (E27), or of an optimizer's equation."""
        return max(o.error for o in self.outcomes if o.check in ("gradient", "equation"))


@dataclass(frozen=True)
class Results:
    """The whole run."""

    method: str
    rows: tuple[Row, ...]

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(row.failures for row in self.rows)

    @property
    def count(self) -> int:
        """How many checks ran."""
        return sum(len(row.outcomes) for row in self.rows)

    @property
    def worst(self) -> Row:
        """The entry with the largest error of its gradient."""
        return max(self.rows, key=lambda row: row.gradient)

    def table(self) -> str:
        """The table for people, with what failed below it."""
        width = max(len(row.name) for row in self.rows)
        lines = [f"{'operation':{width}}  {'error (E27)':>11}  {'checks':>7}  verdict"]
        for row in self.rows:
            passed, total = len(row.outcomes) - len(row.failures), len(row.outcomes)
            names = ", ".join(dict.fromkeys(o.check for o in row.failures))
            verdict = f"WRONG: {names}" if names else "right"
            lines.append(
                f"{row.name:{width}}  {row.gradient:11.2g}  {f'{passed}/{total}':>7}  {verdict}"
            )
        failures = [(row, o) for row in self.rows for o in row.failures]
        lines.append(
            f"{self.count} checks, {len(failures)} failed; method {self.method}; "
            f"worst gradient {self.worst.gradient:.2g} ({self.worst.name})"
        )
        for row, o in failures:
            lines.append(f"\n{row.name}, {o.check}: error {o.error:.2g}, allowed {o.limit:.2g}")
            lines += [f"  {line}" for line in o.detail.splitlines()]
        return "\n".join(lines)

    def to_dict(self) -> Json:
        """The run as plain data."""
        return {
            "method": self.method,
            "failed": self.failed,
            "checks": self.count,
            "worst": {"name": self.worst.name, "error": self.worst.gradient},
            "rows": [{**asdict(row), "gradient": row.gradient} for row in self.rows],
        }

    def to_json(self) -> str:
        """The run as JSON; an infinite error is null."""
        text = json.dumps(self.to_dict(), indent=2)
        return text.replace(": Infinity", ": null").replace(": NaN", ": null")


def run_registry(
    method: str = "complex", only: str | list[str] | None = None, thorough: bool = False
) -> Results:
    """Every check of every entry.

    ``method`` is how gradients are checked (complex, central, five_point, richardson); ``only``
    keeps the entries whose names contain one of the given texts or match it as a pattern;
    ``thorough`` repeats all of it at more seeded points. Raises ``ConfigError`` for names that
    nothing answers to.
    """
    method_named(method)
    patterns = [only] if isinstance(only, str) else list(only or ["*"])
    names = [e.name for e in ENTRIES] + [e.name for e in OPTIMIZER_ENTRIES]
    chosen = {n for n in names for p in patterns if _matches(n, p)}
    for p in patterns:
        if not any(_matches(n, p) for n in names):
            raise ConfigError(f"no operation is called {p!r}; there are {', '.join(names)}")
    seeds = range(THOROUGH_SEEDS if thorough else 1)
    rows = [run_entry(e, method, seeds) for e in ENTRIES if e.name in chosen]
    rows += [_run_optimizer(e) for e in OPTIMIZER_ENTRIES if e.name in chosen]
    return Results(method, tuple(rows))


def checks_of(entry: Entry) -> dict[str, Check]:
    """All checks that apply to an entry."""
    subject: BufferedSubject = entry.make(ROWS, 0)
    found = dict(ALWAYS)
    if subject.accepts_views:
        found |= {
            "non-contiguous inputs": checks.noncontiguous,
            "read-only inputs": checks.readonly,
        }
    if subject.value_again is not None:
        found["value beside the gradient"] = checks.value_again
    if subject.by_shares is not None:
        found["by two workers"] = checks.shared
    if entry.inplace is not None:
        found["in place"] = checks.inplace
    if entry.saturated is not None:
        found["saturated"] = checks.saturated
    return found


def run_entry(entry: Entry, method: str = "complex", seeds: Sequence[int] = (0,)) -> Row:
    """All checks of one entry at each seed's point."""
    outcomes = []
    for seed in seeds:
        case = Case(entry, method, seed)
        outcomes += [_run_check(name, check, case) for name, check in checks_of(entry).items()]
    return Row(entry.name, tuple(outcomes))


def _run_optimizer(entry: OptimizerEntry) -> Row:
    found = optimizer_checks(entry).items()
    return Row(entry.name, tuple(_run_check(name, check, entry) for name, check in found))


def _run_check(name: str, check: Callable[[Checked], Measured], case: Checked) -> Outcome:
    try:
        m = check(case)
    except Exception as error:  # whatever the code under test raises: it has failed this check
        m = yes_or_no(False, f"{type(error).__name__}: {error}")
    return Outcome(name, float(m.error), float(m.limit), bool(m.ok), m.detail)


def _matches(name: str, pattern: str) -> bool:
    a, b = name.lower(), pattern.lower()
    return b in a or fnmatch(a, b)
