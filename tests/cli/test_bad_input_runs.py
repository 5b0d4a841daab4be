"""Runs that cannot be read, by every command that reads one."""

import pytest
from bad_input import Table, refuses

CASES: Table = {
    "nothing there": ("nowhere", "nowhere holds no run: there is no config.json in it"),
    "a file": ("tiny.npz", "tiny.npz holds no run"),
    "a folder of something else": ("thesis", "thesis holds no run"),
    "a run without its settings": ("no-run", "no-run holds no run"),
    "no name of a run": ("''", "holds no run: there is no config.json in it"),
    "a link that leads to itself": ("loop", "loop holds no run: there is no config.json"),
    "settings behind a link to itself": ("looping", "looping holds no run: there is no config"),
    "settings that are no UTF-8": ("no-utf-8", "no-utf-8/config.json cannot be read"),
    "settings nested without end": ("deep-json", "deep-json/config.json cannot be read"),
    "a data set with a byte of zero": ("data-with-a-nul", "belongs to another run than"),
    "a checkpoint of a version to come": ("future-checkpoint", "has format 1000000, but this"),
    "a folder for a checkpoint": (
        "folder-for-checkpoint",
        "checkpoint.npz cannot be read: Is a dir",
    ),
    "settings cut off": ("no-json", "no-json/config.json cannot be read"),
    "settings that are a list": ("no-settings", "is no configuration of a run"),
    "a setting that cannot be": ("bad-setting", "does not describe a run: batch_size is 0"),
    "a setting of the future": ("unknown-setting", "unknown settings: colour"),
    "a data set that is a number": ("data-a-number", "data is 5"),
    "a record of the data that is a list": ("data-a-list", "is no configuration of a run"),
    "no record of the data": ("no-data", "is not the one that no-data was trained on"),
    "a fingerprint that is a number": ("bad-fingerprint", "its fingerprint differs"),
    "no checkpoint": ("no-checkpoint", "there is no checkpoint at no-checkpoint/checkpoint.npz"),
    "a changed byte in the checkpoint": ("damaged-checkpoint", "is damaged, or no file of scr"),
    "a checkpoint cut off": ("cut-checkpoint", "cut-checkpoint/checkpoint.npz is damaged"),
    "the checkpoint of another model": ("foreign-checkpoint", "belongs to another run than"),
    "other settings than the checkpoint's": ("other-setting", "belongs to another run than"),
    "another model than the checkpoint's": ("other-hidden", "belongs to another run than"),
    "data that have changed": ("run-changed", "changed.npy is not the one that run-changed was"),
    "data that are gone": ("run-gone", "gone.npy': no such file"),
}


COMMANDS = ("evaluate", "plot", "complete", "explain", "explore")
ROWS: Table = {
    f"{command}: {name}": (f"{command} {run} --quiet", fragment)
    for command in COMMANDS
    for name, (run, fragment) in CASES.items()
} | {
    f"{command}: {name}": (f"{command} of-mnist --quiet --data-dir {folder}", fragment)
    for command in COMMANDS
    for name, folder, fragment in (
        ("a data folder that is none", "nowhere", "the data folder nowhere is not a folder"),
        ("a data folder with one file of four", "partial", "lacks train-labels-idx1-ubyte"),
        ("a data folder of another set", "foreign", "is not mnist's train-images-idx3-ubyte"),
    )
}
ROWS |= {
    f"compare: {name}": (f"compare {run} wider --quiet", fragment)
    for name, (run, fragment) in CASES.items()
}
ROWS |= {
    f"compare: {name}": (f"compare {words} --quiet", fragment)
    for name, words, fragment in (
        ("one run", "run", "a comparison needs at least two runs"),
        ("seven runs", "run wider begun own a b c", "at most 6 runs can be told apart"),
        ("a run named twice", "run ./run", "run is named twice"),
        ("a page that exists", "run wider --out=tiny.npz", "tiny.npz exists already: choose"),
        (
            "a page in no folder",
            "run wider --out=no/page.html",
            "cannot be written: no is no folder",
        ),
        ("a device that is none", "run wider --device=tpu", "invalid choice: 'tpu'"),
        ("no data folder", "of-mnist run --data-dir nowhere", "nowhere is not a folder"),
    )
}


@pytest.mark.parametrize("case", ROWS)
def test_a_run_that_cannot_be_read_is_refused(case: str, world, capsys) -> None:
    refuses(world, *ROWS[case], capsys)
