"""What the commands share: arguments, messages, and opening data and devices."""

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from scratchvae.backend import DEVICES, Backend, get_backend, why_no_gpu
from scratchvae.config import TrainConfig
from scratchvae.data import DATASETS, Dataset, load_dataset, select
from scratchvae.runs import RunFolder, numbered_folder
from scratchvae.training.streams import printable
from scratchvae.types import Json

Commands = argparse._SubParsersAction  # what a command adds its parser to


def print_message(text: str, quiet: bool = False) -> None:
    """A message for a person: to stderr, so that stdout stays data."""
    if not quiet:
        print(printable(text), file=sys.stderr, flush=True)


def print_result(as_json: bool, content: Json, text: str) -> None:
    """The result of a command, to stdout: one JSON object, or text."""
    print(json.dumps(content, indent=2) if as_json else text)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """--json and --quiet."""
    parser.add_argument("--json", action="store_true", help="print one JSON object to stdout")
    parser.add_argument("--quiet", action="store_true", help="no progress and no messages")


def add_results_arguments(parser: argparse.ArgumentParser, where: str) -> None:
    """--out, a folder ``where`` says more of, and --no-figures."""
    parser.add_argument("--out", type=Path, metavar="DIR", help=where)
    parser.add_argument("--no-figures", action="store_true", help="draw nothing")


def results_folder(out: Path | None, stem: str) -> AbstractContextManager[Path]:
    """The folder of --out, else a new one in runs/, of this process alone."""
    return numbered_folder(Path("runs"), stem) if out is None else nullcontext(out)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--device, --tf32 and --data-dir."""
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="auto: a GPU if there is one; strict: NumPy as a strict GPU, to find mistakes",
    )
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="a GPU multiplies matrices with 10 bits of mantissa: faster (default: float32)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the files of mnist and fashion-mnist lie (else $SCRATCHVAE_DATA, else the "
        "cache, else they are downloaded)",
    )


def open_backend(device: str, dtype: str, quiet: bool, tf32: bool = False) -> Backend:
    """The backend of --device; says on which device it computes."""
    bk = get_backend(device, dtype, tf32)
    why = f" ({why_no_gpu()})" if device == "auto" and bk.name == "cpu" else ""
    print_message(f"device: {bk.name}, {bk.dtype}{', products in TF32' * tf32}{why}", quiet)
    return bk


def open_dataset(
    config: TrainConfig, data_dir: Path | None, quiet: bool, source: str = ""
) -> Dataset:
    """The data that the settings name, or lie at ``source`` by now, with their notes on stderr."""
    source = source or config.data
    whole = load_dataset(source, data_dir, quiet=quiet, reading=config.reading)
    dataset = select(whole, config.subset)
    for note in dataset.notes:
        print_message(note, quiet)
    return dataset


def data_of_run(run: RunFolder, data_dir: Path | None, quiet: bool) -> Dataset:
    """The data that a run was trained on; ``DataError`` where they are others by now."""
    config, known = run.config(), run.settings()["data"]
    source = config.data
    if data_dir is None and known.get("data_dir"):
        data_dir = Path(str(known["data_dir"]))
    if source not in DATASETS and not Path(source).expanduser().exists():
        source = str(known.get("path") or source)  # the run was started from another folder
    dataset = open_dataset(config, data_dir, quiet, source)
    run.require_data(dataset)
    return dataset
