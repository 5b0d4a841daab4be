"""Plant every bug, ask every judge, and print who found how many."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

from scratchvae.gradcheck.check import check_subject
from scratchvae.selfcheck.entries import ROWS
from scratchvae.selfcheck.mutation.checkers import CHECKERS
from scratchvae.selfcheck.mutation.equivalent import EQUIVALENT
from scratchvae.selfcheck.mutation.historical import HISTORICAL, Historical
from scratchvae.selfcheck.mutation.invisible import INVISIBLE, ORACLE_TOLERANCE
from scratchvae.selfcheck.mutation.judges import BY_NAME, EntrySuite
from scratchvae.selfcheck.mutation.mutants import all_mutants
from scratchvae.selfcheck.mutation.suite import TargetSuite, Verdict, passes, quiet
from scratchvae.selfcheck.mutation.targets import TARGETS
from scratchvae.selfcheck.mutation.training import Training
from scratchvae.types import Json

OTHERS = ("PyTorch", "JAX", "Chainer", "the loss falls")
MIN_BUGS, MAX_EQUIVALENT_SHARE = 1000, 0.03


@dataclass(frozen=True)
class KillTable:
    """Who found which planted bug."""

    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def equivalent(self) -> tuple[Verdict, ...]:
        """Mutants that were not found and that are proved to change nothing."""
        return tuple(v for v in self.verdicts if v.found_by is None and v.name in EQUIVALENT)

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
        return tuple(name for name in EQUIVALENT if name not in proved)

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
        lines += [f"equivalent: {v.name}: {EQUIVALENT[v.name]}" for v in self.equivalent]
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
                "equivalent": {v.name: EQUIVALENT[v.name] for v in self.equivalent},
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
    for bug in INVISIBLE:
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
