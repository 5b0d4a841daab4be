"""Bugs in the code around the gradients: planted, judged by the tests, and told in a table."""

import io
import random
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime

from scratchvae.errors import ConfigError
from scratchvae.selfcheck.mutation.areas import AREAS, Area, ProgramMutant, program_mutants
from scratchvae.selfcheck.mutation.equivalent import IN_PROGRAMS, key_of, reason_for
from scratchvae.selfcheck.mutation.trial import Trial, Trials, tests_folder
from scratchvae.types import Json
from scratchvae.versions import versions

SEED = 20140501  # committed: it draws the sample
MAX_EQUIVALENT_SHARE = 0.03


@dataclass(frozen=True)
class ProgramTable:
    """What the tests found of the bugs that were planted."""

    trials: tuple[Trial, ...]
    seconds: float
    areas: tuple[str, ...]
    sample: int | None = None  # the number to test of each area; all unless given
    again: bool = False  # only bugs that an earlier run has not found
    broken: tuple[str, ...] = ()  # tests that fail without any bug: they judged nothing

    @property
    def complete(self) -> bool:
        """Whether every bug of every area was planted."""
        return self.sample is None and not self.again and len(self.areas) == len(AREAS)

    @property
    def equivalent(self) -> tuple[Trial, ...]:
        """Mutants that no test found and that are explained: they change nothing that counts."""
        return tuple(t for t in self.trials if t.found_by is None and reason_for(t.mutant.name))

    @property
    def survivors(self) -> tuple[Trial, ...]:
        """Bugs that no test found."""
        return tuple(t for t in self.trials if t.found_by is None and not reason_for(t.mutant.name))

    @property
    def mistaken(self) -> tuple[str, ...]:
        """Explanations for mutants that a test found, or that are not planted any more."""
        left = {key_of(t.mutant.name) for t in self.trials if t.found_by is None}
        found = {key_of(t.mutant.name) for t in self.trials if t.found_by is not None}
        stale = set(IN_PROGRAMS) if self.complete else found
        return tuple(key for key in IN_PROGRAMS if key in stale and key not in left)

    @property
    def failed(self) -> bool:
        """Whether a bug survived, an explanation is wrong, or too many had to be explained."""
        share = len(self.equivalent) / max(1, len(self.trials))
        return bool(
            self.survivors or self.mistaken or (self.complete and share > MAX_EQUIVALENT_SHARE)
        )

    def rows(self) -> dict[str, Json]:
        """Of each area: how many bugs were planted and found, what is explained, what is left."""
        by_area: dict[str, list[Trial]] = {}
        for trial in self.trials:
            by_area.setdefault(trial.mutant.area, []).append(trial)
        return {area: self._row(trials) for area, trials in by_area.items()}

    def _row(self, trials: Sequence[Trial]) -> Json:
        left = [t.mutant.name for t in trials if t.found_by is None]
        return {
            "bugs": len(trials),
            "found": len(trials) - len(left),
            "seconds": round(sum(t.seconds for t in trials), 1),
            "explained": {name: reason for name in left if (reason := reason_for(name))},
            "not_found": [name for name in left if not reason_for(name)],
        }

    def table(self) -> str:
        """The table for people."""
        lines = [f"{'area':16}{'bugs':>9}{'found':>9}{'explained':>12}{'not found':>11}"]
        for area, row in [*self.rows().items(), ("all", self._row(self.trials))]:
            lines.append(
                f"{area:16}{row['bugs']:>9}{row['found']:>9}"
                f"{len(row['explained']):>12}{len(row['not_found']):>11}"
            )
        about = ", ".join(f"{name} {version}" for name, version in versions().items())
        lines.append(f"{self.seconds:.0f} s; {about}")
        lines += [
            f"explained: {t.mutant.name}: {reason_for(t.mutant.name)}" for t in self.equivalent
        ]
        lines += [f"NOT FOUND: {t.mutant.name}" for t in self.survivors]
        lines += [f"FAILS WITHOUT A BUG: {test}" for test in self.broken]
        lines += [f"EXPLAINED, but found or not planted any more: {name}" for name in self.mistaken]
        return "\n".join(lines)

    def to_json(self, before: Json | None = None) -> Json:
        """Everything as plain data.

        ``before``: what an earlier run has made. With the same versions and the same sample its
        rows of other areas stay, so that areas may be run one by one; and where bugs were judged
        again, so do the numbers of those that were not.
        """
        rows = self.rows()
        content = {"versions": versions(), "sample": self.sample}
        if before is not None and all(before.get(name) == content[name] for name in content):
            old = before["rows"]
            if self.again:
                rows = {area: _both(old[area], row) for area, row in rows.items()}
            rows = old | rows
        return content | {
            "date": datetime.now(UTC).date().isoformat(),
            "rows": {area.name: rows[area.name] for area in AREAS if area.name in rows},
        }


def _both(before: Json, again: Json) -> Json:
    """The row of an area where bugs that had not been found, all of them, were judged again."""
    return again | {
        "bugs": before["bugs"],
        "found": before["bugs"]
        - len(before["explained"] | again["explained"])
        - len(again["not_found"]),
        "seconds": round(before["seconds"] + again["seconds"], 1),
        "explained": before["explained"] | again["explained"],
    }


def run_programs(
    areas: Sequence[str] = (),
    sample: int | None = None,
    told: Callable[[Trial], None] = lambda trial: None,
    only: Collection[str] | None = None,
) -> ProgramTable:
    """Plant every bug of some areas (all unless named), or a sample of as many from each.

    ``told`` hears of every trial as it ends; ``only``: the names of the bugs to plant. Raises
    ``ConfigError`` for an unknown area, where there is no bug to plant, without pytest, without the
    tests, or, of a sample, where the test that found a bug fails without it.
    """
    chosen = [area_named(name) for name in areas] or list(AREAS)
    mutants = [m for area in chosen for m in _drawn(program_mutants(area), sample)]
    if only is not None:
        mutants = [m for m in mutants if m.name in only]
        chosen = [area for area in chosen if any(m.area == area.name for m in mutants)]
        gone = set(only) - {m.name for m in mutants}
        if gone:
            raise ConfigError(
                f"{len(gone)} of these bugs are not planted any more, among them {min(gone)!r}: "
                "the code has changed, so run its area again, all of it"
            )
    if not mutants:
        raise ConfigError("there is no bug to plant")
    start = time.perf_counter()
    tried = _try(chosen, mutants, told, survey=sample is None)
    return ProgramTable(
        tuple(tried.trials),
        time.perf_counter() - start,
        tuple(area.name for area in chosen),
        sample,
        only is not None,
        tuple(tried.broken),
    )


def area_named(name: str) -> Area:
    """The area of this name; ``ConfigError`` for another."""
    for area in AREAS:
        if area.name == name:
            return area
    raise ConfigError(f"no area is called {name!r}; there are {', '.join(a.name for a in AREAS)}")


def _drawn(mutants: list[ProgramMutant], sample: int | None) -> list[ProgramMutant]:
    if sample is None or sample >= len(mutants):
        return mutants
    return random.Random(SEED).sample(mutants, sample)


def _try(
    areas: Sequence[Area],
    mutants: Sequence[ProgramMutant],
    told: Callable[[Trial], None],
    survey: bool,
) -> Trials:
    import pytest
    from threadpoolctl import threadpool_limits

    folder = tests_folder()
    places = dict.fromkeys(str(folder / place) for area in areas for place in area.tests)
    trials = Trials(mutants, told, survey)
    options = ["-q", "-s", "-p", "no:cacheprovider", "--rootdir", str(folder.parent)]
    # pytest would rewrite the assertions of the plugin's package, which is imported already.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    printed = io.StringIO()
    with threadpool_limits(1), redirect_stdout(printed):  # threads do not survive a fork
        code = pytest.main([*options, *places], plugins=[trials])
    if code != pytest.ExitCode.OK or len(trials.trials) != len(mutants):
        raise ConfigError(f"the tests could not be run: {trials.error or printed.getvalue()}")
    return trials
