"""A table of numbers in a text file: separated by commas, semicolons or tabs."""

import csv
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.files import one_kind_of_error, open_binary, require_size
from scratchvae.errors import DataError

ENDINGS = (".csv", ".tsv", ".txt")
SEPARATORS = ",;\t"
LABEL = "label"  # the column of this name holds labels, unless another one is named


@dataclass(frozen=True)
class Table:
    """A table: ``values`` (N, D), int64 if all are whole numbers, else float64.

    ``columns`` are the D names; ``labels`` (N,) numbers or strings, or None; ``notes`` say what
    was guessed.
    """

    values: NDArray
    columns: tuple[str, ...]
    labels: NDArray | None
    notes: tuple[str, ...]

    def to_numpy(self) -> NDArray:
        """The values, under the name that a DataFrame has for them."""
        return self.values


def read_table(path: Path, label_column: str = "") -> Table:
    """Read a table from a text file (UTF-8), one row per line.

    The first line is a header if any of its cells is not a number. The separator is the one that
    the first line has most of: comma, semicolon or tab. ``label_column`` (by default "label", if
    it exists) holds labels, whole numbers or strings; all other cells are numbers.

    Raises DataError for an empty file, a missing or non-numeric cell (with line and column), lines
    of different lengths, and a label column that does not exist.
    """
    with open_binary(path) as stream:
        require_size(stream.seek(0, 2), None, path)
    with one_kind_of_error(path):
        lines = rows_of(path)
        header = next(lines, (0, []))[1]
        if not header:
            raise DataError(f"{path}: is empty; expected a row of numbers per line")
        named = not all(is_number(cell) for cell in header)
        names = [c.strip() for c in header] if named else [f"{k + 1}" for k in range(len(header))]
        label = label_of(names, named, label_column, path)
        cells = [] if named else [header]
        values, labels = numbers_of(lines, cells, names, label, path)
    features = tuple(name for k, name in enumerate(names) if k != label)
    if not features:
        raise DataError(f"{path}: has no column besides {names[0]!r}, which holds labels")
    if values.size and (values % 1 == 0).all() and np.abs(values).max() < 2**53:
        values = values.astype(np.int64)
    if label is None:
        return Table(values, features, None, ())
    note = f"column {names[label]!r} of {path.name} holds the labels"
    return Table(values, features, as_label_array(labels), (note,))


def rows_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not blank."""
    with open(path, encoding="utf-8-sig", newline="") as stream:
        first = stream.readline()
        separator = max(SEPARATORS, key=first.count)
        stream.seek(0)
        reader = csv.reader(stream, delimiter=separator)
        for cells in reader:
            if cells and any(cell.strip() for cell in cells):
                yield reader.line_num, cells


def numbers_of(
    lines: Iterator[tuple[int, list[str]]],
    cells: list[list[str]],
    names: list[str],
    label: int | None,
    path: Path,
) -> tuple[NDArray[np.float64], list[str]]:
    """Values (N, D) and label strings of the first row, ``cells``, and of the other ``lines``."""
    values: list[NDArray[np.float64]] = []
    labels: list[str] = []
    others = [name for k, name in enumerate(names) if k != label]
    for number, row in chain(((1, row) for row in cells), lines):
        if len(row) != len(names):
            raise DataError(
                f"{path}: line {number} has {len(row)} cells, but the first line has {len(names)}"
            )
        if label is not None:
            labels.append(row.pop(label).strip())
            if not labels[-1]:
                raise DataError(f"{path}: line {number} has no label in column {names[label]!r}")
        try:
            values.append(np.array([float(cell) for cell in row]))
        except ValueError:
            raise bad_cell(path, number, row, others) from None
        if not np.isfinite(values[-1]).all():
            raise bad_cell(path, number, row, others)
    if not values:
        raise DataError(f"{path}: holds a header and no row of numbers")
    return np.array(values), labels


def bad_cell(path: Path, number: int, row: list[str], names: list[str]) -> DataError:
    """The DataError for the first cell of a row that is not a finite number."""
    wrong = [not is_number(cell) or not np.isfinite(float(cell)) for cell in row]
    name, cell = names[wrong.index(True)], row[wrong.index(True)]
    what = f"{reprlib.repr(cell)} is not a number" if cell.strip() else "the cell is empty"
    return DataError(
        f"{path}: line {number}, column {reprlib.repr(name)}: {what}; fill what is missing, turn "
        f"texts into numbers, drop the column, or name it as the label column (--label-column)"
    )


def label_of(names: list[str], named: bool, wanted: str, path: Path) -> int | None:
    """The index of the label column, or None; DataError if the ``wanted`` one does not exist."""
    if wanted:
        if wanted in names:
            return names.index(wanted)
        known = reprlib.repr(names) if named else f"no header; columns are 1 to {len(names)}"
        raise DataError(f"{path}: has no column {wanted!r}: {known}")
    lower = [name.lower() for name in names]
    return lower.index(LABEL) if LABEL in lower else None


def as_label_array(labels: list[str]) -> NDArray:
    """Labels as numbers if all of them are numbers, else as strings."""
    return np.array(labels, np.float64) if all(map(is_number, labels)) else np.array(labels)


def is_number(cell: str) -> bool:
    """Whether a cell parses as a number, including infinity and NaN."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
