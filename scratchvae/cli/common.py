"""What the commands share: arguments, messages, and opening data and devices."""

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from scratchvae.backend import DEVICES, Backend, get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import DATASETS, Dataset, load_dataset, select
from scratchvae.errors import ConfigError
from scratchvae.runs import RunFolder, numbered_folder
from scratchvae.training.output import printable
from scratchvae.training.state import used_compiled
from scratchvae.types import Json, JsonView, Over


def print_message(text: str, quiet: bool = False) -> None:
    """A message for a person: to stderr, so that stdout stays data."""
    if not quiet:
        print(printable(text), file=sys.stderr, flush=True)


def print_result(as_json: bool, content: Json, text: str) -> None:
    """The result of a command, to stdout: one JSON object, or text."""
    print(json.dumps(content, indent=2) if as_json else text)


def require_count(option: str, value: int, least: int = 1) -> None:
    """``ConfigError`` unless the value of an option is from ``least`` to 2⁶³ − 1."""
    if value < least:
        raise ConfigError(f"{option} must be at least {least}, not {value}")
    if value >= 2**63:
        raise ConfigError(f"{option} must be at most 2⁶³ − 1, not {value}")


def over_ranks(args: argparse.Namespace) -> Over | None:
    """How work is divided among the ranks of the job; None for a process that is alone."""
    return None if args.ranks is None else args.ranks.map


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """--json and --quiet."""
    parser.add_argument("--json", action="store_true",
                        help="print the result as one JSON object")  # fmt: skip
    parser.add_argument("--quiet", action="store_true",
                        help="show neither progress nor messages")  # fmt: skip


def add_results_arguments(parser: argparse.ArgumentParser, where: str) -> None:
    """--out, a folder described by ``where``, and --no-figures."""
    parser.add_argument("--out", type=Path, metavar="DIR", help=where)
    parser.add_argument("--no-figures", action="store_true", help="draw no figures")


def results_folder(out: Path | None, stem: str) -> AbstractContextManager[Path]:
    """The folder of --out, else a new one in runs/, of this process alone."""
    return numbered_folder(Path("runs"), stem) if out is None else nullcontext(out)


class Typed(argparse.Action):
    """Stores a value and adds its name to ``typed``: only typed options change a resumed run."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Called for an option that stands on the command line."""
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)
        namespace.typed = {*namespace.typed, self.dest}


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--device, --tf32, --no-compiled and --data-dir."""
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="auto: a GPU if there is one, else the CPU; strict: NumPy that allows only what a "
        "GPU allows, for debugging (default: auto)",
    )
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="on a GPU, multiply float32 matrices in TF32, with 10 bits of mantissa: faster "
        "(default: off)",
    )
    parser.set_defaults(typed=frozenset())
    parser.add_argument(
        "--no-compiled",
        dest="compiled",
        action=Typed,
        nargs=0,
        const=False,
        default=True,
        help="use no loops that numba compiles, where it is installed (default: use them)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder of the mnist or fashion-mnist files (default: $SCRATCHVAE_DATA, else the "
        "cache; downloaded if they are not there)",
    )


def open_backend(
    args: argparse.Namespace, dtype: str, *, device: str = "", compiled: bool | None = None
) -> Backend:
    """The backend of the options; says on which device it computes. Why not on a GPU: ``info``.

    ``device`` and ``compiled`` replace what the options say.
    """
    compiled = args.compiled if compiled is None else compiled
    bk = get_backend(
        device or args.device, dtype, args.tf32, compiled=compiled,
        note=lambda text: print_message(text, args.quiet),
    )  # fmt: skip
    how = ", compiled loops" * bk.compiled + ", products in TF32" * args.tf32
    print_message(f"device: {bk.name}, {bk.dtype}{how}", args.quiet)
    return bk


def backend_of_run(args: argparse.Namespace, run: RunFolder, dtype: str) -> Backend:
    """As :func:`open_backend`, with compiled loops if the run was trained with them."""
    compiled = args.compiled and used_compiled(run.settings())
    return open_backend(args, dtype, compiled=compiled)


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
    """The data that a run was trained on; ``DataError`` if they have changed since."""
    config, known = run.config(), run.settings()["data"]
    if data_dir is None and known.get("data_dir"):
        data_dir = Path(str(known["data_dir"]))
    dataset = open_dataset(config, data_dir, quiet, source_of(config, known))
    run.require_data(dataset)
    return dataset


def source_of(config: TrainConfig, known: JsonView) -> str:
    """Where the data of a run lie; ``known``: what its config.json says of them."""
    source = config.data
    if source not in DATASETS and not Path(source).expanduser().exists():
        return str(known.get("path") or source)  # the run was started from another folder
    return source
