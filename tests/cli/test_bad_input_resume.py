"""Every mistake of a user who resumes or verifies a run: see test_bad_input."""

import pytest
from bad_input import TINY, Table, refuses

ROWS: Table = {
    "a negative number of steps between checkpoints": (
        f"{TINY} --out never --checkpoint-every -1", "must not be negative, but is -1",
    ),
    "words for checkpoint-every": (
        f"{TINY} --out never --checkpoint-every often", "--checkpoint-every: invalid int value",
    ),
    "changed settings of no run": (
        f"{TINY} --out never --change-settings", "--change-settings belongs to --resume",
    ),
    "resume: no run named": ("train --resume", "argument --resume: expected one argument"),
    "resume: nothing there": ("train --resume nowhere", "nowhere holds no run"),
    "resume: a file": ("train --resume tiny.npz", "tiny.npz holds no run"),
    "resume: a folder of something else": ("train --resume thesis", "thesis holds no run"),
    "resume: into another folder": (
        "train --resume run --out other", "stays in its folder: leave out --out",
    ),
    "resume: other settings": (
        "train --resume run --lr 0.1 --quiet", "run has other settings: lr was 0.001 and is 0.1",
    ),
    "resume: a setting that cannot be": (
        "train --resume run --epochs 0 --change-settings --quiet", "epochs is 0, but it must be",
    ),
    "resume: other data": (
        "train --resume run --data own.npy --change-settings --quiet",
        "own.npy is not the one that run was trained on",
    ),
    "resume: another part of the data": (
        "train --resume run --subset first:20 --change-settings --quiet",
        "its fingerprint differs, and no setting can change that",
    ),
    "resume: another model": (
        "train --resume begun --hidden 0 --change-settings --quiet", "hidden is (0,)",
    ),
    "resume: another optimizer": (
        "train --resume run --optimizer sgd --epochs 3 --change-settings --quiet",
        "run/checkpoint.npz holds adam.m, adam.v, params, but this optimizer needs params, sgd.v",
    ),
    "resume: a model of other sizes": (
        "train --resume run --hidden 9 --epochs 3 --change-settings --quiet",
        "run/checkpoint.npz belongs to another model",
    ),
    "resume: a completed run with a model of other sizes": (
        "train --resume run --hidden 9 --change-settings --quiet",
        "run/checkpoint.npz belongs to another model",
    ),
    "resume: words for checkpoint_every": (
        "train --resume often --quiet", "is no configuration of a run: checkpoint_every is 'often'",
    ),
    "resume: earlier settings that are a number": (
        "train --resume bad-earlier --epochs 3 --change-settings --quiet", "belongs to another run",
    ),
    "resume: an unknown device": ("train --resume bad-device --quiet", "is not one of"),
    "resume: settings cut off": ("train --resume no-json", "no-json/config.json cannot be read"),
    "resume: a checkpoint of another run": (
        "train --resume foreign-checkpoint --quiet", "belongs to another run than",
    ),
    "resume: two checkpoints cut off": (
        "train --resume both-cut --quiet", "both-cut/checkpoint.npz is damaged",
    ),
    "resume: numbers that are gone": (
        "train --resume no-metrics --quiet", "ends after epoch 0, but 1 were completed",
    ),
    "resume: damaged numbers": (
        "train --resume bad-metrics --quiet", "line 1 does not describe an epoch",
    ),
    "resume: a negative number of steps between checkpoints": (
        "train --resume run --checkpoint-every -1", "must not be negative, but is -1",
    ),
    "verify: no run named": ("verify", "the following arguments are required: RUN"),
    "verify: nothing there": ("verify nowhere", "nowhere holds no run"),
    "verify: a folder of something else": ("verify thesis", "thesis holds no run"),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_a_run_that_cannot_go_on_is_told_why(case: str, world, capsys) -> None:
    refuses(world, *ROWS[case], capsys)
