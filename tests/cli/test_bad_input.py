"""Every mistake ends in one sentence, exit code 2, no traceback, and nothing written or lost.

The commands run in a folder that holds good and bad files and runs. ``CASES`` has a row for each
mistake; after each the folder must hold the very same bytes.
"""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchvae.backend import why_no_gpu
from scratchvae.cli import main

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (37, 3, 4), dtype=np.uint8)
TINY = "train --data tiny.npz --hidden 8 --batch-size 8 --epochs 1 --no-figures --quiet"
RUN = f"{TINY} --device cpu --out"
MNIST_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip


# ---- a folder of good and bad things ----------------------------------------------------------


def idx(array: np.ndarray, code: int = 8, sizes: tuple[int, ...] | None = None) -> bytes:
    """An IDX file, whose dtype code and sizes may be lies."""
    sizes = array.shape if sizes is None else sizes
    header = bytes([0, 0, code, len(sizes)]) + b"".join(n.to_bytes(4, "big") for n in sizes)
    return header + array.tobytes()


def write_data(folder: Path) -> None:
    np.savez(folder / "tiny.npz", train=GREY[:27], test=GREY[27:])
    np.save(folder / "good.npy", GREY)
    content = (folder / "good.npy").read_bytes()
    (folder / "empty").write_bytes(b"")
    (folder / "truncated.npy").write_bytes(content[:-100])
    (folder / "stump.npy").write_bytes(content[:40])
    (folder / "cut.npz").write_bytes((folder / "tiny.npz").read_bytes()[:300])
    (folder / "table.csv").write_text("a,b\n1,2\n")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / "lying-idx3-ubyte").write_bytes(idx(GREY, sizes=(1000, 28, 28)))
    (folder / "huge-idx3-ubyte").write_bytes(idx(GREY, sizes=(2**31, 2**15, 2**15)))
    (folder / "surplus-idx3-ubyte").write_bytes(idx(GREY) + b"!")
    (folder / "floats-idx3-ubyte").write_bytes(idx(GREY, code=0x0D))
    (folder / "labels-idx1-ubyte").write_bytes(idx(GREY[:, 0, 0]))
    (folder / "cut-idx3-ubyte.gz").write_bytes(gzip.compress(idx(GREY))[:-20])
    (folder / "none-idx3-ubyte").write_bytes(idx(GREY[:0]))
    (folder / "pair-images-idx3-ubyte").write_bytes(idx(GREY))
    (folder / "pair-labels-idx1-ubyte").write_bytes(idx(GREY[:20, 0, 0]))
    np.savez(folder / "labels.npz", x=GREY, y=np.arange(36))
    np.savez(folder / "names.npz", pictures=GREY)
    floats = GREY / 255
    for name, value in (("outside", 1.5), ("below", -0.1), ("nan", np.nan), ("inf", np.inf)):
        bad = floats.copy()
        bad[3, 1, 2] = value
        np.save(folder / f"{name}.npy", bad)
    np.savez(folder / "outside-test.npz", train=floats[:27], test=floats[27:] * 2)
    np.save(folder / "zero.npy", GREY[:0])
    np.save(folder / "one.npy", GREY[:1])
    np.save(folder / "colour.npy", np.zeros((5, 4, 4, 3), np.uint8))
    np.save(folder / "words.npy", np.array([["a", "b"], ["c", "d"]]))
    np.save(folder / "objects.npy", np.array([[None, 1]] * 5, dtype=object))
    np.save(folder / "wide.npy", np.full((5, 12), 300))
    for name in ("partial", "foreign"):
        (folder / name).mkdir()
    (folder / "partial" / MNIST_FILES[0]).write_bytes(idx(GREY))
    for file in MNIST_FILES:
        (folder / "foreign" / file).write_bytes(idx(GREY if "images" in file else GREY[:, 0, 0]))


def copy_of(run: Path, name: str) -> Path:
    return shutil.copytree(run, run.parent / name)


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def write_runs(folder: Path) -> None:
    assert main([*RUN.split(), "run"]) == 0
    run = folder / "run"
    assert main([*RUN.split(), "wider", "--hidden", "9"]) == 0
    np.save(folder / "own.npy", GREY)
    for name in ("changed", "gone"):
        np.save(folder / f"{name}.npy", GREY)
        assert main([*RUN.split(), f"run-{name}", "--data", f"{name}.npy"]) == 0
    np.save(folder / "changed.npy", GREY + 1)
    (folder / "gone.npy").unlink()
    (folder / "thesis").mkdir()
    (folder / "thesis" / "thesis.tex").write_text("\\title{VAE}")
    (copy_of(run, "no-checkpoint") / "checkpoint.npz").unlink()
    damaged = copy_of(run, "damaged-checkpoint") / "checkpoint.npz"
    content = bytearray(damaged.read_bytes())
    content[1500] ^= 0x10
    damaged.write_bytes(content)
    cut = copy_of(run, "cut-checkpoint") / "checkpoint.npz"
    cut.write_bytes(cut.read_bytes()[:2000])
    shutil.copy(folder / "wider/checkpoint.npz", copy_of(run, "foreign-checkpoint"))
    (copy_of(run, "no-json") / "config.json").write_text('{"config": {"lr": 0.0')
    (copy_of(run, "no-settings") / "config.json").write_text("[1, 2]")
    edits: dict[str, Callable[[Any], Any]] = {
        "bad-setting": lambda c: c["config"].update(batch_size=0),
        "unknown-setting": lambda c: c["config"].update(colour="red"),
        "other-setting": lambda c: c["config"].update(beta=2.0),
        "other-hidden": lambda c: c["config"].update(hidden=[7]),
        "data-a-number": lambda c: c["config"].update(data=5),
        "data-a-list": lambda c: c.update(data=[1]),
        "no-data": lambda c: c.pop("data"),
        "bad-fingerprint": lambda c: c["data"].update(fingerprint=7),
    }
    for name, change in edits.items():
        edit_json(copy_of(run, name) / "config.json", change)
    (copy_of(run, "bad-metrics") / "metrics.jsonl").write_text('{"epoch": 1}\n')
    (copy_of(run, "no-run") / "config.json").unlink()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder, before = tmp_path_factory.mktemp("world"), Path.cwd()
    os.chdir(folder)
    try:
        write_data(folder)
        write_runs(folder)
        yield folder
    finally:
        os.chdir(before)


@pytest.fixture
def world(made: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> Path:
    monkeypatch.chdir(made)
    capsys.readouterr()
    return made


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, and every folder."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


# ---- the table --------------------------------------------------------------------------------

CASES: dict[str, tuple[str, str]] = {
    # the data
    "an unknown data set": ("--data minst", "unknown dataset 'minst'. Did you mean 'mnist'?"),
    "an unknown data set far from all": ("--data faces", "There are: digits, mnist, fashion-mnist"),
    "no name": ("--data=", "is a folder; give a .npy, .npz or IDX file, or a dataset's name"),
    "a missing file": ("--data nowhere/x.npy", "'nowhere/x.npy': no such file"),
    "a folder instead of a file": ("--data ./thesis", "is a folder; give a .npy, .npz or IDX"),
    "an empty file": ("--data empty", "neither .npy, .npz nor IDX"),
    "a truncated array": ("--data truncated.npy", "344 are there"),
    "a header cut off": ("--data stump.npy", "stump.npy: damaged or incomplete"),
    "a zip cut off": ("--data cut.npz", "cut.npz: damaged or incomplete"),
    "a foreign file": ("--data table.csv", "table.csv: neither .npy, .npz nor IDX"),
    "a picture": ("--data picture.png", "begins with 89 50 4e 47"),
    "an IDX header that lies": (
        "--data lying-idx3-ubyte", "declares 784000 bytes of data and 444 are there",
    ),
    "an IDX header that asks for exabytes": ("--data huge-idx3-ubyte", "are read"),
    "bytes after the data": ("--data surplus-idx3-ubyte", "444 bytes of data and 445 are there"),
    "IDX floats": ("--data floats-idx3-ubyte", "0x0d (32-bit floats)"),
    "labels instead of images": ("--data labels-idx1-ubyte", "labels-idx1-ubyte: "),
    "a gzip cut off": ("--data cut-idx3-ubyte.gz", "cut-idx3-ubyte.gz: "),
    "an IDX file of no images": ("--data none-idx3-ubyte", "is empty"),
    "labels of another count": ("--data pair-images-idx3-ubyte", "37 images but 20 labels"),
    "labels of another count in an npz": ("--data labels.npz", "37 images but 36 labels"),
    "arrays of unknown names": ("--data names.npz", "holds the arrays 'pictures'"),
    "pixels above 1 for a Bernoulli": ("--data outside.npy", "pixel 6 (value 1.5)"),
    "pixels below 0 for a Bernoulli": ("--data below.npy", "outside [0, 1]"),
    "pixels outside in the test part only": ("--data outside-test.npz", "test images: "),
    "pixels outside to be drawn": (
        "--data outside.npy --likelihood gaussian --binarize static",
        "binarization 'static': 1 of",
    ),
    "NaN": ("--data nan.npy", "1 of 444 values are NaN or infinite"),
    "NaN for a Gaussian": ("--data nan.npy --likelihood gaussian", "index (3, 6) (nan)"),
    "infinity": ("--data inf.npy", "index (3, 6) (inf)"),
    "zero images": ("--data zero.npy", "zero.npy: is empty"),
    "one image": ("--data one.npy", "train and test need one each"),
    "colours": ("--data colour.npy", "(5, 4, 4, 3)"),
    "words": ("--data words.npy", "save a plain array of integers or floats"),
    "Python objects": ("--data objects.npy", "Python objects"),
    "integers beyond a byte": ("--data wide.npy", "from 300 to 300"),
    "an MNIST folder that is no folder": ("--data mnist --data-dir nowhere", "is not a folder"),
    "an MNIST folder with one file of four": (
        "--data mnist --data-dir partial", "partial lacks train-labels-idx1-ubyte",
    ),
    "another set under MNIST's names": (
        "--data mnist --data-dir foreign", "is not mnist's train-images-idx3-ubyte",
    ),
    "another set under Fashion-MNIST's names": (
        "--data fashion-mnist --data-dir foreign", "another set",
    ),
    "no network for MNIST": ("--data mnist", "no mirror delivered train-images-idx3-ubyte.gz"),
    "no network for Fashion-MNIST": ("--data fashion-mnist", "(https://raw.githubusercontent"),
    "no network, and what to do": ("--data mnist", "choose the dataset 'digits', which needs no"),
    # settings against the data
    "a batch larger than the data": (
        "--batch-size 28", "batch_size is 28, but there are only 27 training images",
    ),
    "a batch larger than what validation leaves": (
        "--batch-size 27 --validation 1", "there are only 26 training images",
    ),
    "as many held out as there are": ("--validation 27", "27 images cannot be held out of 27"),
    "more held out than there are": ("--validation 100", "100 images cannot be held out of 27"),
    # settings
    "a batch of none": ("--batch-size 0", "batch_size is 0, but it must be"),
    "a negative batch": ("--batch-size -4", "batch_size is -4"),
    "no epochs": ("--epochs 0", "epochs is 0, but it must be a whole number of at least 1"),
    "negative epochs": ("--epochs -1", "epochs is -1"),
    "no samples": ("--samples 0", "samples is 0"),
    "no latent units": ("--latent-dim 0", "latent_dim is 0"),
    "a hidden layer of nothing": ("--hidden 8 0", "hidden is (8, 0), but it must be sizes"),
    "a negative hidden layer": ("--hidden -8", "hidden is (-8,)"),
    "a learning rate of zero": ("--lr 0", "lr is 0.0, but it must be a positive number"),
    "a negative learning rate": ("--lr -0.001", "lr is -0.001"),
    "a learning rate that is no number": ("--lr nan", "lr is nan"),
    "an infinite learning rate": ("--lr inf", "lr is inf"),
    "a learning rate that rounds to zero": ("--lr 1e-999", "lr is 0.0"),
    "a standard deviation of zero": ("--likelihood gaussian --std 0", "std is 0.0"),
    "a negative beta": ("--beta -0.5", "beta is -0.5, but it must be a number, not negative"),
    "a beta that is no number": ("--beta nan", "beta is nan"),
    "a negative seed": ("--seed -1", "seed is -1, but it must be from 0 to 2"),
    "a seed beyond 64 bits": ("--seed 18446744073709551616", "seed is 18446744073709551616"),
    "a negative validation split": ("--validation -1", "validation is -1"),
    "negative patience": ("--validation 5 --patience -1", "patience is -1"),
    "patience without validation": ("--patience 3", "patience needs a validation split"),
    "negative workers": ("--workers -1", "workers is -1"),
    "negative steps between checks": ("--verify-every -1", "verify_every is -1"),
    "more workers than cores": ("--workers 100000", "workers is 100000, but"),
    "TF32 on a CPU": ("--tf32 --device cpu", "GPU multiplies, and the device is cpu"),
    "TF32 on no GPU": ("--tf32 --device strict", "or choose --device cuda on a machine with one"),
    # choices: argparse lists what there is
    **{
        f"an unknown {name}": (f"--{name} magic", f"argument --{name}: invalid choice: 'magic'")
        for name in ("binarize", "activation", "likelihood", "mean", "head", "init", "optimizer",
                     "dtype", "device")
    },
    **{
        f"words for {name}": (f"--{name} many", f"argument --{name}: invalid")
        for name in ("latent-dim", "hidden", "samples", "epochs", "batch-size", "seed", "clip",
                     "beta", "std", "validation", "patience", "workers", "verify-every")
    },
    "words for lr": ("--lr many", "it must be a positive number or a schedule"),
    "half an epoch": ("--epochs 1.5", "invalid int value: '1.5'"),
    "an unknown option": ("--colour red", "unrecognized arguments: --colour red"),
    # where it goes
    "an output folder that holds another run": ("--out run", "run holds another run already"),
    "an output folder that holds something else": (
        "--out thesis", "thesis is not empty and holds no run: choose another --out",
    ),
    "an output that is a file": ("--out table.csv", "table.csv cannot hold a run"),
    "an output below a file": ("--out table.csv/run", "table.csv/run cannot hold a run"),
    "an output with a name too long": (f"--out {'x' * 300}", "cannot hold a run: File name too"),
    "the current folder": ("--out .", "is not empty"),
}  # fmt: skip

READ_CASES: dict[str, tuple[str, str]] = {
    "nothing there": ("nowhere", "nowhere holds no run: there is no config.json in it"),
    "a file": ("tiny.npz", "tiny.npz holds no run"),
    "a folder of something else": ("thesis", "thesis holds no run"),
    "a run without its settings": ("no-run", "no-run holds no run"),
    "settings cut off": ("no-json", "no-json/config.json cannot be read"),
    "settings that are a list": ("no-settings", "is no configuration of a run"),
    "a setting that cannot be": ("bad-setting", "does not describe a run: batch_size is 0"),
    "a setting of the future": ("unknown-setting", "unknown settings: colour"),
    "a data set that is a number": ("data-a-number", "data is 5"),
    "a record of the data that is a list": ("data-a-list", "is no configuration of a run"),
    "no record of the data": ("no-data", "is not the one that no-data was trained on"),
    "a fingerprint that is a number": ("bad-fingerprint", "its fingerprint differs"),
    "no checkpoint": ("no-checkpoint", "there is no checkpoint at no-checkpoint/checkpoint.npz"),
    "a changed byte in the checkpoint": ("damaged-checkpoint", "damaged"),
    "a checkpoint cut off": ("cut-checkpoint", "is no checkpoint of scratchvae, or damaged"),
    "the checkpoint of another model": ("foreign-checkpoint", "belongs to another run than"),
    "other settings than the checkpoint's": ("other-setting", "belongs to another run than"),
    "another model than the checkpoint's": ("other-hidden", "belongs to another run than"),
    "data that have changed": ("run-changed", "changed.npy is not the one that run-changed was"),
    "data that are gone": ("run-gone", "gone.npy': no such file"),
}

OTHER_CASES: dict[str, tuple[str, str]] = {
    "evaluate: no run named": ("evaluate", "the following arguments are required: RUN"),
    "evaluate: no samples": ("evaluate run --samples 0 --quiet", "samples must be at least 1"),
    "evaluate: a split that nobody held out": (
        "evaluate run --split validation --quiet", "run was trained without a validation split",
    ),
    "evaluate: an unknown split": ("evaluate run --split all", "invalid choice: 'all'"),
    "plot: into a file": ("plot run --out table.csv --quiet", "it is a file, not a folder"),
    "plot: below a file": ("plot run --out table.csv/x --quiet", "table.csv/x"),
    "plot: damaged numbers": ("plot bad-metrics --quiet", "line 1 does not describe an epoch"),
    "reproduce: an unknown study": (
        "reproduce glue --quiet", "unknown study 'glue'; there are: gluon",
    ),
    "reproduce: no study named": (
        "reproduce", "name one study, or ask for --all; there are: gluon",
    ),
    "reproduce: one and all": ("reproduce gluon --all", "name one study, or ask for --all"),
    "reproduce: no seeds": ("reproduce gluon --seeds 0 --quiet", "--seeds must be at least 1"),
    "reproduce: negative seeds": ("reproduce gluon --seeds -2 --quiet", "not -2"),
    "reproduce: no epochs": ("reproduce gluon --epochs 0 --quiet", "--epochs must be at least 1"),
    "reproduce: into another run": ("reproduce gluon --out run --quiet", "holds another run"),
    "reproduce: into a file": ("reproduce gluon --out table.csv --quiet", "cannot hold a run"),
    "reproduce: no network": ("reproduce gluon --quiet", "no mirror delivered"),
    "reproduce: a folder without MNIST": (
        "reproduce gluon --data-dir nowhere --quiet", "is not a folder",
    ),
    "no command": ("", "the following arguments are required: COMMAND"),
    "an unknown command": ("trian", "invalid choice: 'trian'"),
    "an unknown option of info": ("info --colour", "unrecognized arguments: --colour"),
}  # fmt: skip

NO_GPU_CASES = {
    "train": f"{TINY} --device cuda",
    "evaluate": "evaluate run --device cuda --quiet",
    "plot": "plot run --device cuda --quiet",
}


def refuses(world: Path, argv: list[str], fragment: str, capsys: Any) -> None:
    """Run the command and check all that a mistake must be."""
    before = snapshot(world)
    try:
        code: object = main(argv)
    except SystemExit as stop:
        code = stop.code
    streams = capsys.readouterr()
    assert code == 2
    assert streams.out == ""
    assert fragment in streams.err
    assert "Traceback" not in streams.err
    if streams.err.startswith("usage: "):
        assert streams.err.splitlines()[-1].startswith("scratchvae")
    else:
        assert streams.err.startswith("scratchvae: ")
        assert len(streams.err.splitlines()) == 1
    assert snapshot(world) == before


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_cannot_be_is_refused(case: str, world: Path, capsys) -> None:
    options, fragment = CASES[case]
    out = [] if "--out" in options else ["--out", "never"]
    refuses(world, [*TINY.split(), *options.split(), *out], fragment, capsys)


@pytest.mark.parametrize("command", ["evaluate", "plot"])
@pytest.mark.parametrize("case", READ_CASES)
def test_a_run_that_cannot_be_read_is_refused(case: str, command: str, world: Path, capsys) -> None:
    run, fragment = READ_CASES[case]
    refuses(world, [command, run, "--quiet"], fragment, capsys)


@pytest.mark.parametrize("case", OTHER_CASES)
def test_any_other_mistake_is_refused(case: str, world: Path, capsys) -> None:
    line, fragment = OTHER_CASES[case]
    refuses(world, line.split(), fragment, capsys)


@pytest.mark.skipif(why_no_gpu() is None, reason="there is a GPU here")
@pytest.mark.parametrize("command", NO_GPU_CASES)
def test_a_gpu_that_is_not_there_is_refused_with_the_reason(
    command: str, world: Path, capsys
) -> None:
    refuses(world, NO_GPU_CASES[command].split(), str(why_no_gpu()), capsys)


def test_a_folder_that_may_not_be_written_to_is_refused(world: Path, capsys) -> None:
    locked = world / "locked"
    locked.mkdir(exist_ok=True)
    locked.chmod(0o500)
    if os.access(locked, os.W_OK):
        locked.rmdir()
        pytest.skip("root may write everywhere")
    try:
        refuses(world, [*TINY.split(), "--out", "locked"], "Permission denied", capsys)
        refuses(world, [*TINY.split(), "--out", "locked/run"], "Permission denied", capsys)
        refuses(world, ["plot", "run", "--out", "locked", "--quiet"], "Permission denied", capsys)
    finally:
        locked.chmod(0o700)
        locked.rmdir()


def test_the_good_run_beside_all_the_bad_ones_still_evaluates(world: Path, capsys) -> None:
    """What the rows above refuse is refused for what is wrong with it, not for the place."""
    assert main(["evaluate", "run", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 10


def test_every_message_of_quiet_and_of_json_is_the_same_sentence(world: Path, capsys) -> None:
    errors = []
    for options in (["--quiet"], ["--json", "--quiet"]):
        assert main(["evaluate", "nowhere", *options]) == 2
        errors.append(capsys.readouterr())
    assert errors[0] == errors[1]


def test_the_tables_are_as_long_as_they_were_meant_to_be() -> None:
    assert len(CASES) + 2 * len(READ_CASES) + len(OTHER_CASES) >= 140
