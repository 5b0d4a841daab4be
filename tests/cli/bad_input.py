"""A folder of good and bad files and runs, and what every mistake must end in.

The tables of the ``test_bad_input_*`` files have a row for each mistake: a command line, and a
part of the sentence that it ends with. ``refuses`` runs the row and looks at everything else.
"""

import gzip
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.cli.main import main

Table = dict[str, tuple[str, str]]  # what is wrong: the command line, a part of the sentence

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
    (folder / "stump").write_text("a,b\n1,2\n")
    (folder / "table.csv").write_text("a,b\n1,2\n")
    (folder / "people.csv").write_text("height,age,kind\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n")
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
    np.save(folder / "channels.npy", np.zeros((5, 3, 8, 8), np.uint8))
    np.save(folder / "words.npy", np.array([["a", "b"], ["c", "d"]]))
    np.save(folder / "objects.npy", np.array([[None, 1]] * 5, dtype=object))
    np.save(folder / "wide.npy", np.full((5, 3, 4), 300))
    np.save(folder / "mask-size.npy", np.ones((4, 4), bool))
    np.save(folder / "mask-nothing.npy", np.zeros((3, 4), bool))
    np.save(folder / "mask-floats.npy", np.full((3, 4), 0.5))
    (folder / "loop").symlink_to("loop")
    (folder / "loop.npy").symlink_to("loop.npy")
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


def change_format(checkpoint: Path) -> None:
    """Make it a checkpoint of a version to come."""
    with np.load(checkpoint) as file:
        arrays = {name: file[name] for name in file.files}
    manifest = json.loads(bytes(arrays["manifest"]))
    manifest["format"] = 10**6
    arrays["manifest"] = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    np.savez(checkpoint, **arrays)


def write_runs(folder: Path) -> None:
    assert main([*RUN.split(), "run"]) == 0
    run = folder / "run"
    assert main([*RUN.split(), "wider", "--hidden", "9"]) == 0
    np.save(folder / "own.npy", GREY)
    assert main([*RUN.split(), "overflowed", "--lr", "1e30", "--epochs", "3"]) == 2
    left = (folder / "overflowed/nonfinite.npz").read_bytes()
    (folder / "cut-replay.npz").write_bytes(left[: len(left) // 2])
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
    (copy_of(run, "no-utf-8") / "config.json").write_bytes(b"\xff\xfe{}")
    (copy_of(run, "deep-json") / "config.json").write_text("[" * 100_000)
    (copy_of(run, "looping") / "config.json").unlink()
    (folder / "looping/config.json").symlink_to("config.json")
    (copy_of(run, "folder-for-checkpoint") / "checkpoint.npz").unlink()
    (folder / "folder-for-checkpoint/checkpoint.npz").mkdir()
    change_format(copy_of(run, "future-checkpoint") / "checkpoint.npz")
    edits: dict[str, Callable[[Any], Any]] = {
        "bad-setting": lambda c: c["config"].update(batch_size=0),
        "unknown-setting": lambda c: c["config"].update(colour="red"),
        "other-setting": lambda c: c["config"].update(beta=2.0),
        "other-hidden": lambda c: c["config"].update(hidden=[7]),
        "data-a-number": lambda c: c["config"].update(data=5),
        "data-a-list": lambda c: c.update(data=[1]),
        "no-data": lambda c: c.pop("data"),
        "data-with-a-nul": lambda c: c["config"].update(data="a\0b.npy"),
        "of-mnist": lambda c: c["config"].update(data="mnist"),
        "often": lambda c: c.update(checkpoint_every="often"),
        "bad-earlier": lambda c: c.update(earlier=7),
        "bad-device": lambda c: c.update(device=["abacus"]),
        "bad-fingerprint": lambda c: c["data"].update(fingerprint=7),
    }
    for name, change in edits.items():
        edit_json(copy_of(run, name) / "config.json", change)
    (copy_of(run, "bad-metrics") / "metrics.jsonl").write_text('{"epoch": 1}\n')
    (copy_of(run, "no-metrics") / "metrics.jsonl").unlink()
    for old, new in (("no-checkpoint", "begun"), ("cut-checkpoint", "both-cut")):
        shutil.copytree(folder / old, folder / new)
    (folder / "both-cut" / "previous.npz").write_bytes(b"PK")
    (copy_of(run, "no-run") / "config.json").unlink()
    for name in ("run", "wider"):
        assert main(["export", name, f"{name}.safetensors"]) == 0
    weights = bytearray((folder / "run.safetensors").read_bytes())
    (folder / "cut.safetensors").write_bytes(weights[:-1])
    weights[-9] ^= 1
    (folder / "flipped.safetensors").write_bytes(weights)


def make_world(folder: Path) -> None:
    """Fill the folder, which is the current one."""
    write_data(folder)
    write_runs(folder)


# ---- what a mistake must be --------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, bytes | str | None]:
    """Every file with its bytes, every link with its target, and every folder."""
    return {
        str(p.relative_to(folder)): (
            os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None
        )
        for p in sorted(folder.rglob("*"))
    }


def refuses(world: Path, line: str, fragment: str, capsys: Any, code: int = 2) -> str:
    """Run the command line and check all that a mistake must be; its sentence.

    The exit code; nothing on stdout; one sentence on stderr, and no traceback, which holds the
    fragment; and the very same files, to the byte, as before.
    """
    before = snapshot(world)
    try:
        found: object = main(shlex.split(line))
    except SystemExit as stop:
        found = stop.code
    streams = capsys.readouterr()
    assert found == code, streams.err
    assert streams.out == ""
    assert "Traceback" not in streams.err
    lines = streams.err.splitlines()
    assert lines[-1].startswith("scratchvae")
    assert len(lines) == 1
    assert fragment in lines[-1]
    assert snapshot(world) == before
    return lines[-1]
