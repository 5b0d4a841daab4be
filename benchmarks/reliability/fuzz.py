"""Damaged image files, thousands of them, against the readers. Takes three minutes.

    python -m benchmarks.reliability.fuzz [--files 10000] [--seed 0] [--json FILE]

Half of the files are drawn by seeds, half by Hypothesis (as far as it is installed). Each is read
by ``load_dataset`` and must be refused by a DataError in one sentence, or mean what a strict
second reading says that it means; a file without damage must be accepted. The cap on what is read
is lowered to 1 MiB, and no file may make the reader take more than 4 MiB. Status 1 if one does
anything else.
"""

import argparse
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.harness import conditions, table, write_json
from benchmarks.reliability import strict
from benchmarks.reliability.specimens import Specimen, draw
from scratchvae.data import Dataset, load_dataset
from scratchvae.errors import DataError
from scratchvae.versions import installed, versions

CAP = 1 << 20
MOST = 4 * CAP  # bytes: an array at the cap, its pixels in another type, and zipfile's buffers
WRONG = (
    "foreign exception",
    "silently wrong",
    "valid but refused",
    "too much memory",
    "no sentence",
)


class Tally:
    """What became of all files so far."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "specimen"
        self.verdicts: Counter[str] = Counter()
        self.by_kind: dict[str, Counter[str]] = {}
        self.by_damage: dict[str, Counter[str]] = {}
        self.peak = 0
        self.wrong: list[str] = []

    def judge(self, specimen: Specimen) -> str:
        """Read it, count it; the verdict."""
        self.path.write_bytes(specimen.content)
        verdict, peak = judge(self.path, specimen)
        self.peak = max(self.peak, peak)
        self.verdicts[verdict] += 1
        self.by_kind.setdefault(specimen.kind, Counter())[verdict] += 1
        for damage in specimen.damage or ("none",):
            self.by_damage.setdefault(damage, Counter())[verdict] += 1
        if verdict in WRONG:
            self.wrong.append(f"{verdict}: {specimen}")
        return verdict

    @property
    def files(self) -> int:
        """How many were judged."""
        return self.verdicts.total()


def judge(path: Path, specimen: Specimen) -> tuple[str, int]:
    """(verdict, the most bytes that were held at a time) for the file that lies at ``path``."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    found: Dataset | Exception
    try:
        found = load_dataset(path)
    except Exception as error:  # which kind it is, is the question
        found = error
    peak = tracemalloc.get_traced_memory()[1] - before
    if peak > MOST:
        return "too much memory", peak
    if isinstance(found, Dataset):
        return ("accepted" if means(found, specimen.content) else "silently wrong"), peak
    if not isinstance(found, DataError):
        return "foreign exception", peak
    if not specimen.damage:
        return "valid but refused", peak
    sentence = str(found)
    fine = path.name in sentence and "\n" not in sentence and len(sentence) < 1000
    return ("refused" if fine else "no sentence"), peak


def means(data: Dataset, content: bytes) -> bool:
    """Whether the strict reading says the same of the file, bit for bit."""
    try:
        reading = strict.read(content)
    except Exception:  # no meaning: nothing should have been accepted
        return False
    same = (data.train.max_level, data.image_shape) == (reading.max_level, reading.image_shape)
    pairs = (
        (data.train.images, reading.train),
        (data.test.images, reading.test),
        (data.train.labels, reading.train_labels),
        (data.test.labels, reading.test_labels),
    )
    return same and all(map(identical, *zip(*pairs, strict=True)))


def identical(ours: Any, theirs: Any) -> bool:
    """The same values and, for pixels, the same type; or both None."""
    if ours is None or theirs is None:
        return ours is theirs
    return bool(np.array_equal(ours, theirs)) and ours.dtype in (theirs.dtype, np.int64)


def by_seeds(count: int, seed: int, judge_one: Callable[[Specimen], Any]) -> None:
    """Judge ``count`` files, one for each seed."""
    for number in range(count):
        judge_one(draw(Random(f"{seed}:{number}")))


def by_hypothesis(count: int, judge_one: Callable[[Specimen], Any]) -> None:
    """Judge about ``count`` files drawn by Hypothesis; none where it is not installed."""
    try:
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st
    except ModuleNotFoundError:
        return
    drawn = settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(given(st.randoms(use_true_random=False))(lambda random: judge_one(draw(random)) and None))
    drawn()


def run(files: int, seed: int = 0) -> tuple[Tally, dict[str, int]]:
    """Judge ``files`` files; the tally, and how many of them each driver drew."""
    npy_module = sys.modules["scratchvae.data.npy"]
    with (
        tempfile.TemporaryDirectory(prefix="scratchvae-fuzz-") as folder,
        mock.patch("scratchvae.data.files.MAX_BYTES", CAP),
        mock.patch.object(npy_module, "MAX_BYTES", CAP),
    ):
        tally = Tally(Path(folder))
        tracemalloc.start()
        try:
            by_hypothesis(files // 2, tally.judge)
            drawn = {"Hypothesis": tally.files}
            by_seeds(files - tally.files, seed, tally.judge)
        finally:
            tracemalloc.stop()
    return tally, drawn | {"seeds": tally.files - drawn["Hypothesis"]}


def main() -> int:
    """Judge all files and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    about = conditions(threads=1) | {"versions": versions() | installed()}
    tally, drawn = run(args.files, args.seed)
    columns = ("refused", "accepted", *WRONG)
    for title, counts in (("format", tally.by_kind), ("damage", tally.by_damage)):
        rows = [(name, *(str(c[verdict]) for verdict in columns)) for name, c in counts.items()]
        print(table((title, *columns), sorted(rows)) + "\n")
    wrong = sum(tally.verdicts[verdict] for verdict in WRONG)
    print(
        f"{tally.files} files, {wrong} wrong; at most {tally.peak / 2**20:.2f} MiB held at a time"
    )
    print("\n".join(tally.wrong[:10]))
    content = {
        "files": tally.files,
        "drawn_by": drawn,
        "cap_bytes": CAP,
        "limit_bytes": MOST,
        "peak_bytes": tally.peak,
        "wrong": wrong,
        "verdicts": dict.fromkeys(columns, 0) | tally.verdicts,
        "formats": dict(sorted(tally.by_kind.items())),
        "damages": dict(sorted(tally.by_damage.items())),
    }
    write_json(args.json, about | content)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
