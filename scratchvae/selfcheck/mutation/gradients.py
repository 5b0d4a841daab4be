"""Bugs in the gradients: plant every one, ask every judge, and print who found how many."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from unittest import mock

import numpy as np

from scratchvae.backend import cpu_elementwise, cpu_updates
from scratchvae.gradcheck.check import check_subject
from scratchvae.selfcheck.entries import ROWS
from scratchvae.selfcheck.mutation.equivalent import IN_GRADIENTS
from scratchvae.selfcheck.mutation.flow_bugs import FLOW_BUGS
from scratchvae.selfcheck.mutation.historical import HISTORICAL, Historical
from scratchvae.selfcheck.mutation.invisible import INVISIBLE, ORACLE_TOLERANCE
from scratchvae.selfcheck.mutation.judges import BY_NAME, CHECKERS, EntrySuite, Training
from scratchvae.selfcheck.mutation.mutants import Mutant, all_mutants
from scratchvae.selfcheck.mutation.targets import TARGETS, Target
from scratchvae.selfcheck.optimizers import OPTIMIZER_ENTRIES, optimizer_checks
from scratchvae.types import Json

OTHERS = ("PyTorch", "JAX", "Chainer", "the loss falls")
TRAINER = "Adam"  # the optimizer that the models are trained with
PLAIN_CHECKS = ("plain update", "flushes tiny moments")
SMALL_BLOCK, SMALL_LOGITS = 1000, 10  # so that small buffers too are taken in several blocks
MIN_BUGS, MAX_EQUIVALENT_SHARE = 1000, 0.03


@dataclass(frozen=True)
class Verdict:
    """Who noticed one planted bug. None stands for a judge that has nothing to say."""

    name: str
    group: str
    operator: str
    found_by: str | None  # our first check that fails
    others: dict[str, bool | None]  # PyTorch, JAX, Chainer, "the loss falls": noticed?
    crashed: bool


@dataclass(frozen=True)
class KillTable:
    """Who found which planted bug."""

    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def equivalent(self) -> tuple[Verdict, ...]:
        """Mutants that were not found and that are proved to change nothing."""
        return tuple(v for v in self.verdicts if v.found_by is None and v.name in IN_GRADIENTS)

    @property
    def bugs(self) -> tuple[Verdict, ...]:
        """Everything but the equivalent ones."""
        proved = {v.name for v in self.equivalent}
        return tuple(v for v in self.verdicts if v.name not in proved)

    @property
    def survivors(self) -> tuple[Verdict, ...]:
        """Bugs that the suite did not find."""
        return tuple(v for v in self.bugs if v.found_by is None)

    @property
    def mistaken(self) -> tuple[str, ...]:
        """Mutants that are said to be equivalent and are not, or not planted any more."""
        proved = {v.name for v in self.equivalent}
        return tuple(name for name in IN_GRADIENTS if name not in proved)

    @property
    def failed(self) -> bool:
        """Whether a bug survived, or the claim of a thousand is not met."""
        share = len(self.equivalent) / max(1, len(self.verdicts))
        few = len(self.bugs) < MIN_BUGS or share > MAX_EQUIVALENT_SHARE
        return bool(self.survivors or self.mistaken or few)

    def rows(self) -> list[Json]:
        """For each group: how many bugs, and how many each judge found."""
        groups = dict.fromkeys(v.group for v in self.bugs)
        found = [self._row(group, [v for v in self.bugs if v.group == group]) for group in groups]
        return [*found, self._row("all", list(self.bugs))]

    def _row(self, group: str, bugs: list[Verdict]) -> Json:
        row: Json = {"group": group, "bugs": len(bugs)}
        row["crash"] = sum(v.crashed for v in bugs)
        row["scratchvae"] = sum(v.found_by is not None for v in bugs)
        for judge in OTHERS:
            asked = [v for v in bugs if v.others.get(judge) is not None]
            row[judge] = [sum(bool(v.others[judge]) for v in asked), len(asked)]
            quiet_ones = [v for v in asked if not v.crashed]
            missed = sum(bool(v.others[judge]) for v in quiet_ones)
            row[f"{judge}, without crashes"] = [missed, len(quiet_ones)]
        return row

    def table(self) -> str:
        """The table for people: percentages of the bugs that a judge was asked about."""
        head = f"{'group':24}{'bugs':>6}{'crash':>7}{'scratchvae':>12}"
        lines = [head + "".join(f"{judge:>16}" for judge in OTHERS)]
        for row in self.rows():
            own = _percent(row["scratchvae"], row["bugs"])
            cells = "".join(f"{_percent(*row[judge]):>16}" for judge in OTHERS)
            lines.append(f"{row['group']:24}{row['bugs']:>6}{row['crash']:>7}{own:>12}{cells}")
        total = self.rows()[-1]
        apart = ", ".join(
            f"{judge} {_percent(*total[f'{judge}, without crashes'])}" for judge in OTHERS
        )
        lines.append(f"of those that raise nothing: {apart}")
        lines.append(
            f"{len(self.verdicts)} mutants, {len(self.equivalent)} of them equivalent "
            f"({_percent(len(self.equivalent), len(self.verdicts))}), "
            f"{len(self.survivors)} not found; {self.seconds:.0f} s"
        )
        lines += [f"equivalent: {v.name}: {IN_GRADIENTS[v.name]}" for v in self.equivalent]
        lines += [f"NOT FOUND: {v.name}" for v in self.survivors]
        lines += [f"NOT EQUIVALENT, or not planted any more: {name}" for name in self.mistaken]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Everything as JSON."""
        return json.dumps(
            {
                "failed": self.failed,
                "seconds": round(self.seconds, 1),
                "rows": self.rows(),
                "equivalent": {v.name: IN_GRADIENTS[v.name] for v in self.equivalent},
                "survivors": [v.name for v in self.survivors],
                "verdicts": [asdict(v) for v in self.verdicts],
            },
            indent=2,
        )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"


def run_planted(
    jobs: int | None = None, progress: Callable[[str], None] | None = None
) -> KillTable:
    """Plant every bug and judge it; two processes unless told otherwise.

    Nothing is written to disk: a bug lives in the memory of the process that judges it.
    """
    start = time.perf_counter()
    jobs = min(2, os.cpu_count() or 1) if jobs is None else jobs
    order = sorted(range(len(TARGETS)), key=lambda i: TARGETS[i].group != "optimizers")
    found: dict[int, list[Verdict]] = {}
    if jobs == 1:
        for i in order:
            found[i] = judge_target(i)
            _tell(progress, i, found[i])
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            for i, verdicts in zip(order, pool.map(judge_target, order), strict=True):
                found[i] = verdicts
                _tell(progress, i, verdicts)
    verdicts = [v for i in range(len(TARGETS)) for v in found[i]]
    verdicts += [_judge_historical(bug) for bug in HISTORICAL] + judge_invisible()
    return KillTable(tuple(verdicts), time.perf_counter() - start)


def _tell(progress: Callable[[str], None] | None, i: int, verdicts: list[Verdict]) -> None:
    if progress is not None:
        killed = sum(v.found_by is not None for v in verdicts)
        progress(f"{TARGETS[i].name}: {killed} of {len(verdicts)} found")


def judge_target(i: int) -> list[Verdict]:
    """All mutants of the target number i."""
    target = TARGETS[i]
    suite = TargetSuite(target)
    if not suite.healthy():
        raise AssertionError(f"{target.name} fails its checks without any bug planted")
    return [suite.verdict(mutant) for mutant in all_mutants((target,))]


def _judge_historical(bug: Historical) -> Verdict:
    training = Training(bug.entry)
    with quiet(), bug.planted():
        # These change forward code too, so every reference is computed with the bug in place.
        others: dict[str, bool | None] = {
            name: not passes([partial(_ask, make, bug.entry)]) for name, make in CHECKERS.items()
        }
        try:
            found = EntrySuite(bug.entry).failure()
        except Exception as error:
            found = f"raises {type(error).__name__}"
        others["the loss falls"] = not passes([training.falls])
    crashed = found is not None and found.startswith("raises")
    return Verdict(bug.name, "historical", "historical", found, others, crashed)


def _ask(make: Callable[[EntrySuite], Callable[[], bool]], entry: str) -> bool:
    return make(EntrySuite(entry))()


def judge_invisible() -> list[Verdict]:
    """The bugs that only an oracle sees. A gradient check that saw one would disprove its name."""
    verdicts = []
    for bug in (*INVISIBLE, *FLOW_BUGS):
        if bug.oracle() > ORACLE_TOLERANCE:
            raise AssertionError(f"the oracle of {bug.name!r} fails without any bug planted")
        with quiet(), bug.planted():
            right = True
            if bug.entry is not None:
                right = check_subject(BY_NAME[bug.entry].make(ROWS, 0)).ok
            found = "oracle" if bug.oracle() > ORACLE_TOLERANCE else None
        if not right:
            found = "gradient"
        others: dict[str, bool | None] = dict.fromkeys(OTHERS)
        verdicts.append(Verdict(bug.name, "oracles only", "invisible", found, others, False))
    return verdicts


class TargetSuite:
    """Everything that may find a bug in one target, prepared once."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.optimizer = target.group == "optimizers"
        names = () if self.optimizer else target.entries
        self.suites = [EntrySuite(name, target.plain) for name in names]
        self.training = Training(target.trains, target.plain)
        with quiet():
            self.checkers = {n: [make(e) for e in self.suites] for n, make in CHECKERS.items()}

    def healthy(self) -> bool:
        """Whether the real code passes everything: otherwise the checks prove nothing."""
        checkers = [check for checks in self.checkers.values() for check in checks]
        with quiet():
            right = self.failure() is None and all(check() for check in checkers)
            return right and self.training.falls()

    def failure(self) -> str | None:
        """Our first check that fails with the code as it is now."""
        with _small_blocks():
            if self.optimizer:
                return _optimizer_failure(self.target)
            return next((f for f in (suite.failure() for suite in self.suites) if f), None)

    def verdict(self, mutant: Mutant) -> Verdict:
        """Plant a bug, ask every check, take it out again."""
        with mutant.planted(), quiet():
            found = self.failure()
            others: dict[str, bool | None] = {}
            for name, checks in self.checkers.items():
                others[name] = None if self.optimizer else not passes(checks)
            trained = not self.optimizer or TRAINER in self.target.entries
            others["the loss falls"] = not passes([self.training.falls]) if trained else None
        crashed = found is not None and found.startswith("raises")
        return Verdict(mutant.name, mutant.target.group, mutant.operator, found, others, crashed)


def passes(checks: list[Callable[[], bool]]) -> bool:
    """Whether code passes all of them; one that raises does not."""
    try:
        return all(check() for check in checks)
    except Exception:  # a planted bug may raise anything: that is noticed
        return False


def _optimizer_failure(target: Target) -> str | None:
    try:
        for entry in OPTIMIZER_ENTRIES:
            if entry.name not in target.entries:
                continue
            for name, check in optimizer_checks(entry).items():
                if target.plain and name not in PLAIN_CHECKS:
                    continue  # the others run the fused form, where this bug isn't
                if not check(entry).ok:
                    return name
    except Exception as error:  # a planted bug may raise anything
        return f"raises {type(error).__name__}"
    return None


@contextmanager
def _small_blocks() -> Iterator[None]:
    """The buffers of a check in more than one block, although they are small.

    The sizes are those of the backend's modules: they are replaced here, in the process that
    judges and nowhere else, and restored on the way out.
    """
    with (
        mock.patch.dict(cpu_updates.blocks.__kwdefaults__, length=SMALL_BLOCK),
        mock.patch.object(cpu_elementwise, "LOGITS", SMALL_LOGITS),
        mock.patch.object(cpu_elementwise, "FEW", 1),  # no logarithms are few: factors are folded
    ):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Bugs overflow and divide by zero: no warnings about that here."""
    with np.errstate(all="ignore"):
        yield
