"""What becomes of a download when something goes wrong. Takes a minute.

    python -m benchmarks.reliability.downloads [--rounds 5] [--json FILE]

A web server on this machine has every fault; a small image set of four files is fetched from it.
Each scenario begins with an empty cache of its own. Status 1 if one of them does not end well.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from benchmarks.harness import ROOT, conditions, table, write_json
from benchmarks.reliability.mirror import ARRAYS, FAULTS, NAMES, Mirror, packed, small_archive
from scratchvae.data import download
from scratchvae.data.mnist import load_archive
from scratchvae.versions import installed, versions

PROCESSES = 8
NO_PROXY = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
GOOD = {f"{name}.gz": packed(array) for name, array in zip(NAMES, ARRAYS, strict=True)}


class Scene:
    """A server, and a cache folder that begins empty."""

    def __init__(self, mirror: Mirror, cache: Path) -> None:
        self.mirror, self.cache = mirror, cache
        self.folder = cache / "small"

    def start(self, behaviour: str = "good", *options: str) -> "subprocess.Popen[str]":
        """A process that fetches the files."""
        command = [sys.executable, "-m", "benchmarks.reliability.fetch"]
        environment = os.environ | NO_PROXY | {"SCRATCHVAE_CACHE": str(self.cache)}
        environment.pop("SCRATCHVAE_DATA", None)
        return subprocess.Popen(
            [*command, self.mirror.url(behaviour), *options],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def fetch(self, behaviour: str = "good", *options: str) -> tuple[int, str, str]:
        """The same, waited for: (status, stdout, stderr)."""
        process = self.start(behaviour, *options)
        out, err = process.communicate(timeout=60)
        return process.returncode, out.strip(), err.strip()

    def held(self) -> dict[str, bytes]:
        """Every file in the cache."""
        found = self.folder.iterdir() if self.folder.exists() else ()
        return {path.name: path.read_bytes() for path in found}


@contextmanager
def scene() -> Any:
    """A Scene that is cleared away."""
    place = Path(tempfile.mkdtemp(prefix="scratchvae-downloads-"))
    place.chmod(0o755)  # another user is to look into it
    try:
        with Mirror() as mirror:
            yield Scene(mirror, place / "cache")
    finally:
        shutil.rmtree(place)


# ---- the scenarios: each says whether it ended well ---------------------------------------------


def next_mirror_helps(fault: str, at: Scene) -> bool:
    """The first mirror has the fault, the second delivers."""
    variables = NO_PROXY | {"SCRATCHVAE_CACHE": str(at.cache), "SCRATCHVAE_DATA": ""}
    with mock.patch.dict(os.environ, variables), mock.patch.object(download, "TIMEOUT", (1, 0.5)):
        data = load_archive(small_archive(at.mirror.url(fault), at.mirror.url("good")), quiet=True)
    asked = [path.split("/")[1] for path in at.mirror.log[:2]]
    return len(data.train) == 5 and asked == [Mirror.folder(fault), "good"] and at.held() == GOOD


def eight_at_once(damage: bool, at: Scene) -> bool:
    """Eight processes fetch into one cache, empty or with a damaged file."""
    if damage:
        at.folder.mkdir(parents=True)
        (at.folder / f"{NAMES[0]}.gz").write_bytes(b"damaged")
    processes = [at.start() for _ in range(PROCESSES)]
    answers = {(p.communicate(timeout=120)[0].strip(), p.returncode) for p in processes}
    return len(answers) == 1 and answers.pop()[1] == 0 and at.held() == GOOD


def full_disk(at: Scene) -> bool:
    """No file may grow beyond 25 bytes: a sentence, nothing in part, and later it works."""
    code, _, sentence = at.fetch("good", "--bytes", "25")
    fine = code == 2 and "be kept there (File too large)" in sentence and at.held() == {}
    return fine and at.fetch()[0] == 0 and at.held() == GOOD


def read_only_cache(at: Scene) -> bool:
    """An empty one: a sentence. A full one is read all the same."""
    at.folder.mkdir(parents=True)
    at.folder.chmod(0o555)
    code, _, sentence = at.fetch("good", "--as-nobody")
    fine = code == 2 and "downloads cannot be kept there (Permission denied)" in sentence
    at.folder.chmod(0o755)
    for name, content in GOOD.items():
        (at.folder / name).write_bytes(content)
    at.folder.chmod(0o555)
    at.mirror.log.clear()
    return fine and at.fetch("good", "--as-nobody")[0] == 0 and at.mirror.log == []


def tampered_cache(at: Scene) -> bool:
    """One byte of each file changed: that file alone is fetched again."""
    at.fetch()
    for name, content in GOOD.items():
        (at.folder / name).write_bytes(content[:-1] + b"!")
        at.mirror.log.clear()
        if at.fetch()[0] or at.mirror.log != [f"/good/{name}"] or at.held() != GOOD:
            return False
    return True


def ctrl_c(at: Scene) -> bool:
    """In the middle of a file: it ends, leaves nothing in part, and later it works."""
    process = at.start("a stalled server")
    while not at.mirror.log and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)  # half a file has arrived
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    fine = process.returncode == 130 and at.held() == {}
    return fine and at.fetch()[0] == 0 and at.held() == GOOD


class Scenario(NamedTuple):
    """A question, how often it is asked, and what answers it."""

    name: str
    times: int
    ends_well: Callable[[Scene], bool]


def scenarios(rounds: int) -> list[Scenario]:
    """All of them; those that are a matter of luck, ``rounds`` times."""
    faults = [
        Scenario(f"{fault}, then a good mirror", 1, partial(next_mirror_helps, fault))
        for fault in FAULTS
    ]
    return [
        *faults,
        Scenario("eight processes, one cache", rounds, partial(eight_at_once, False)),
        Scenario("eight processes, a damaged file", rounds, partial(eight_at_once, True)),
        Scenario("a full disk (RLIMIT_FSIZE)", 1, full_disk),
        Scenario("a read-only cache", 1, read_only_cache),
        Scenario("a tampered cache, each file", 1, tampered_cache),
        Scenario("Ctrl-C in the middle", rounds, ctrl_c),
    ]


def play(scenario: Scenario) -> int:
    """How often the scenario ended well."""
    count = 0
    for _ in range(scenario.times):
        with scene() as at:
            count += scenario.ends_well(at)
    return count


def main() -> int:
    """Play all scenarios and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    about = conditions(threads=1)
    rows = {s.name: {"played": s.times, "ended_well": play(s)} for s in scenarios(args.rounds)}
    lines = [(name, f"{row['ended_well']} of {row['played']}") for name, row in rows.items()]
    print(table(("a download with", "ended well"), lines))
    write_json(args.json, about | {"versions": versions() | installed(), "rows": rows})
    return int(any(row["ended_well"] < row["played"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
