"""Everything that may find a planted bug, prepared once for a target."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from scratchvae.backend import cpu_updates
from scratchvae.selfcheck.equations import OPTIMIZER_ENTRIES
from scratchvae.selfcheck.mutation.checkers import CHECKERS
from scratchvae.selfcheck.mutation.judges import EntrySuite
from scratchvae.selfcheck.mutation.mutants import Mutant
from scratchvae.selfcheck.mutation.targets import Target
from scratchvae.selfcheck.mutation.training import Training
from scratchvae.selfcheck.optimizers import optimizer_checks

TRAINER = "Adam"  # the optimizer that the models are trained with
PLAIN_CHECKS = ("plain update", "flushes tiny moments")
SMALL_BLOCK = 1000  # so that small buffers too are updated in more than one block


@dataclass(frozen=True)
class Verdict:
    """Who noticed one planted bug. None stands for a judge that has nothing to say."""

    name: str
    group: str
    operator: str
    found_by: str | None  # our first check that fails
    others: dict[str, bool | None]  # PyTorch, JAX, Chainer, "the loss falls": noticed?
    crashed: bool


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
        with _small_blocks():
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

    The size of a block is a constant of the backend's module: it is replaced here, in the
    process that judges and nowhere else, and restored on the way out.
    """
    with mock.patch.object(cpu_updates, "BLOCK", SMALL_BLOCK):
        yield


@contextmanager
def quiet() -> Iterator[Any]:
    """Bugs overflow and divide by zero: no warnings about that here."""
    with np.errstate(all="ignore"):
        yield
