"""Bugs judged by the project's tests: imported and collected once, then a process for each bug.

Pytest collects the tests of all areas. Instead of running them, this plugin runs them once without
a bug, which shows how long each takes and which functions it reaches. Then every bug gets a child
process of its own, forked from the one that has collected: it plants the bug, runs the tests that
reach the function, the quickest first, and ends with the first that fails. Nothing is written but
to folders for temporary files, and the bug dies with its process.
"""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from select import select
from types import CodeType, FrameType
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.backends import poisoned
from scratchvae.selfcheck.mutation.areas import AREAS, Area, ProgramMutant, loops_in_python
from scratchvae.types import Function

PATIENCE = 20.0  # seconds that a bug may take beyond thrice what its tests take without it
WITHOUT_SURVEY = 300.0  # seconds for a bug where it is not known how long the tests take
MEMORY = 8 << 30  # bytes that a child may take beyond what it has: a wrong size may ask for all
FILE = 1 << 28  # bytes in one file


Survey = dict[str, tuple[float | None, list[str]]]  # of each test: seconds, functions reached


@dataclass(frozen=True)
class Trial:
    """What became of one bug: the test that found it, or None."""

    mutant: ProgramMutant
    found_by: str | None
    seconds: float = 0.0


class Trials:
    """The pytest plugin: tries every bug of its list, then ends the session."""

    def __init__(
        self,
        mutants: Sequence[ProgramMutant],
        told: Callable[[Trial], None],
        survey: bool = True,
    ) -> None:
        self.mutants, self.told, self.survey = mutants, told, survey
        self.trials: list[Trial] = []
        self.failed: str | None = None
        self.error = ""  # why nothing could be judged
        self.broken: list[str] = []  # tests that fail without any bug: they prove nothing
        self.sound: set[str] = set()  # tests that are known to pass without one

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the first test that fails, in whichever phase."""
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's own loop."""
        try:
            self._try_all(session)
        except ConfigError as error:
            self.error = str(error)
        return True

    def _try_all(self, session: pytest.Session) -> None:
        wanted = dict.fromkeys(m.area for m in self.mutants)
        by_area = {area.name: _items(session, area) for area in AREAS if area.name in wanted}
        reach = self._survey(by_area) if self.survey else None
        for mutant in self.mutants:
            tests, limit = _nearest_first(mutant, by_area[mutant.area]), WITHOUT_SURVEY
            if reach is not None:
                tests, seconds = reach.tests(mutant.function.__code__, tests)
                limit = PATIENCE + 3 * seconds
            found, start = None, time.perf_counter()
            if tests:
                found = _in_a_child(partial(self._first_failure, mutant, tests), limit)
            if reach is None and found is not None:
                self._require_sound(found, tests)
            trial = Trial(mutant, found, time.perf_counter() - start)
            self.trials.append(trial)
            self.told(trial)

    def _require_sound(self, test: str, items: list[pytest.Item]) -> None:
        """``ConfigError`` where the test that found a bug fails without it, too."""
        judges = [item for item in items if item.nodeid == test and test not in self.sound]
        for item in judges:
            why = _in_a_child(partial(self._why_failed, item), WITHOUT_SURVEY)
            if why is not None:
                raise ConfigError(f"a test fails without any bug planted: {why}")
            self.sound.add(test)

    def _why_failed(self, item: pytest.Item) -> str | None:
        self._run(item)
        return self.failed

    def _survey(self, by_area: dict[str, list[pytest.Item]]) -> "Reach":
        """Every test once, without a bug."""
        found: Survey = {}
        for loops in (False, True):
            areas = [area.name for area in AREAS if area.python_loops is loops]
            parts = [by_area[name] for name in areas if name in by_area]
            items = {item.nodeid: item for part in parts for item in part}
            found |= self._survey_of(list(items.values()), loops) if items else {}
        self.broken = [test for test, (seconds, _) in found.items() if seconds is None]
        return Reach({test: what for test, what in found.items() if test not in self.broken})

    def _survey_of(self, items: list[pytest.Item], loops: bool) -> "Survey":
        """In a child process, where ``loops`` in Python."""

        def run() -> str:
            if loops:
                loops_in_python()
            return json.dumps(self._run_and_watch(items))

        answer = _in_a_child(run, limit=3600.0)
        if answer is None or not answer.startswith("{"):
            raise ConfigError(f"the tests could not be run without a bug: {answer}")
        return dict(json.loads(answer))

    def _run_and_watch(self, items: list[pytest.Item]) -> "Survey":
        found: Survey = {}
        for item in items:
            watch = Watch()
            start = time.perf_counter()
            with watch:
                self._run(item)
            seconds = time.perf_counter() - start
            found[item.nodeid] = (None if self.failed else seconds, sorted(watch.seen))
            self.failed = None
        return found

    def _first_failure(self, mutant: ProgramMutant, tests: list[pytest.Item]) -> str | None:
        if any(area.python_loops for area in AREAS if area.name == mutant.area):
            loops_in_python()
        mutant.plant()
        for item in tests:
            self._run(item)
            if self.failed is not None:
                return self.failed
        return None

    def _run(self, item: pytest.Item) -> None:
        """One test with its fixtures, all of them taken down again."""
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)


class Reach:
    """Which tests run which functions, and how long each takes."""

    def __init__(self, found: Survey) -> None:
        self.seconds = {test: seconds or 0.0 for test, (seconds, _) in found.items()}
        self.seen = {test: frozenset(seen) for test, (_, seen) in found.items()}

    def tests(self, code: CodeType, items: list[pytest.Item]) -> tuple[list[pytest.Item], float]:
        """The tests that run this code, the quickest first, and how long they take together."""
        name = _named(code)
        chosen = [item for item in items if name in self.seen.get(item.nodeid, ())]
        chosen.sort(key=lambda item: self.seconds[item.nodeid])
        return chosen, sum(self.seconds[item.nodeid] for item in chosen)


class Watch:
    """Notes which functions of this package are called."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.codes: set[CodeType] = set()

    def __enter__(self) -> None:
        sys.setprofile(self._called)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code not in self.codes:
            self.codes.add(code)
            if "scratchvae" in code.co_filename:
                self.seen.add(_named(code))


def _named(code: CodeType) -> str:
    return f"{code.co_filename}:{code.co_firstlineno}"


def _items(session: pytest.Session, area: Area) -> list[pytest.Item]:
    """The tests of an area that are not skipped, those of the nearest files first."""
    folder = tests_folder()
    found = []
    for place in area.tests:
        path = folder / place
        found += [
            item
            for item in session.items
            if (item.path == path or path in item.path.parents)
            and item.get_closest_marker("skip") is None
        ]
    return found


def _nearest_first(mutant: ProgramMutant, items: list[pytest.Item]) -> list[pytest.Item]:
    """Tests whose file names the function or its class before those whose file does not."""
    names = [n for n in mutant.function.__qualname__.split(".") if not n.startswith("_")]
    names = names or [mutant.function.__module__.rpartition(".")[2]]
    files = {item.path: item.path.read_text(encoding="utf-8") for item in items}
    return sorted(items, key=lambda item: -sum(name in files[item.path] for name in names))


def tests_folder() -> Path:
    """The tests beside this package; ``ConfigError`` where it was installed without them."""
    folder = Path(__file__).parents[3] / "tests"
    if not (folder / "conftest.py").is_file():
        raise ConfigError(
            f"bugs in programs are judged by the project's tests, and there are none at {folder}: "
            "run this in a clone of the repository"
        )
    return folder


def _in_a_child(work: Callable[[], str | None], limit: float) -> str | None:
    """What ``work`` answers in a process of its own; how it ended where it gives no answer."""
    folder = tempfile.mkdtemp(prefix="scratchvae-bug-")
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            _isolate(folder)
            answer = work() or ""
        except BaseException as error:  # a bug may raise anything through pytest: it was noticed
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.replace("\n", " ").encode() + b"\n")
        os._exit(0)
    os.close(writing)
    answer = _read_line(reading, limit)
    os.close(reading)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # with whatever the test has started
    os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    return answer or None


def _isolate(folder: str) -> None:
    """Make this process harmless: a group and a folder of its own, limits, and no output."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored behind a shell's "&"
    os.chdir(folder)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = tempfile.tempdir = folder
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _poison_new_memory()


def _poison_new_memory() -> None:
    """New arrays hold NaN: as they come they may hold the right numbers of an earlier call."""

    def poisoning(make: Function) -> Function:
        return lambda *args, **how: _poisoned(make(*args, **how))

    # For the rest of this process: it ends with the trial.
    mock.patch.multiple(np, empty=poisoning(np.empty), empty_like=poisoning(np.empty_like)).start()


def _poisoned(array: NDArray) -> NDArray:
    return poisoned(array) if array.dtype.kind in "fciub" else array


def _read_line(pipe: int, limit: float) -> str:
    """One line from a pipe; what the lack of it means, where none comes in time."""
    deadline, text = time.monotonic() + limit, b""
    while not text.endswith(b"\n"):
        ready, _, _ = select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return "it takes too long"
        part = os.read(pipe, 1 << 16)
        if not part:
            return "the process dies"
        text += part
    return text[:-1].decode()
