"""scratchvae verify: 0 where all is whole, 1 with a sentence for each damage."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scratchvae.training.step import TrainingStep


@pytest.fixture
def run(cli, here: Path, tiny_train: list[str]) -> Path:
    """A run with every kind of file."""
    argv = [a for a in tiny_train if a != "--no-figures"]
    assert cli(*argv, "--validation", 5, "--out", "run", "--quiet").code == 0
    return here / "run"


def flip(path: Path, position: int = -1000) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_run_that_is_whole(cli, run: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*.*")}
    answer = cli("verify", "run")
    assert (answer.code, answer.err) == (0, "")
    names = [line.split()[0] for line in answer.out.splitlines()]
    assert names == ["config.json", "checkpoint.npz", "previous.npz", "best.npz", "metrics.jsonl",
                     "film.npz", "run:"]  # fmt: skip
    assert "6 steps, 2 epochs completed, SHA-256 " in answer.out
    assert answer.out.endswith("run: all is whole\n")
    assert {p: p.read_bytes() for p in run.rglob("*.*")} == before


def test_json_says_the_same(cli, run: Path) -> None:
    content = json.loads(cli("verify", "run", "--json").out)
    assert content["whole"]
    assert content["damage"] == content["notes"] == []
    assert set(content["files"]) == {"config.json", "metrics.jsonl", "checkpoint.npz",
                                     "previous.npz", "best.npz", "film.npz"}  # fmt: skip


def test_a_run_whose_class_is_not_found_is_not_called_damaged(cli, run: Path) -> None:
    rewrite(run / "config.json", '"activation": "relu"', '"activation": "nowhere:ELU"')
    answer = cli("verify", "run")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "scratchvae: activation 'nowhere:ELU': the module cannot be imported (No module named "
        "'nowhere'): go to the folder that nowhere.py is in, or add that folder to PYTHONPATH\n"
    )


def another_best(run: Path) -> None:
    best, others = run / "best.npz", (run / "checkpoint.npz", run / "previous.npz")
    best.write_bytes(next(o.read_bytes() for o in others if o.read_bytes() != best.read_bytes()))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of the checkpoint": (
        lambda run: flip(run / "checkpoint.npz"), "run/checkpoint.npz is damaged",
    ),
    "a byte of the one before": (lambda run: flip(run / "previous.npz"), "previous.npz is damaged"),
    "a byte of the best": (lambda run: flip(run / "best.npz", 99), "run/best.npz is damaged"),
    "a byte of the film": (lambda run: flip(run / "film.npz"), "run/film.npz is damaged"),
    "a number of an epoch": (
        lambda run: rewrite(run / "metrics.jsonl", '"test_kl": ', '"test_kl": 1'),
        "metrics.jsonl: its numbers are not those that checkpoint.npz was saved with",
    ),
    "an epoch that is gone": (
        lambda run: rewrite(run / "metrics.jsonl", (run / "metrics.jsonl").read_text()[:99], ""),
        "metrics.jsonl",
    ),
    "no numbers": (
        lambda run: (run / "metrics.jsonl").unlink(), "ends after epoch 0, but 2 were completed",
    ),
    "two lines too many": (
        lambda run: (run / "metrics.jsonl").write_text(
            (run / "metrics.jsonl").read_text() + "{}\n{}\n"
        ),
        "metrics.jsonl has 2 lines more than epochs were completed",
    ),
    "settings cut off": (
        lambda run: (run / "config.json").write_text('{"config": {'), "config.json cannot be read",
    ),
    "another setting": (
        lambda run: rewrite(run / "config.json", '"beta": 1.0', '"beta": 2.0'),
        "run/checkpoint.npz belongs to another run than run/config.json",
    ),
    "other data": (
        lambda run: rewrite(run / "config.json", '"fingerprint": "', '"fingerprint": "0'),
        "run/checkpoint.npz belongs to another run than run/config.json",
    ),
    "no best": (lambda run: (run / "best.npz").unlink(), "run/best.npz is missing: the best epoch"),
    "the best of another epoch": (
        another_best, ", but the best was ",
    ),
    "the film in the checkpoint's place": (
        lambda run: (run / "checkpoint.npz").write_bytes((run / "film.npz").read_bytes()),
        "its manifest lacks config",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_exit_code_1_and_a_sentence(kind: str, cli, run: Path) -> None:
    make, sentence = DAMAGE[kind]
    make(run)
    answer = cli("verify", "run")
    assert answer.code == 1
    assert sentence in answer.out
    assert "all is whole" not in answer.out
    content = json.loads(cli("verify", "run", "--json").out)
    assert not content["whole"]
    assert sentence in " ".join(content["damage"])


def test_each_damage_has_a_sentence_of_its_own(cli, run: Path) -> None:
    for name in ("checkpoint.npz", "previous.npz", "best.npz", "film.npz"):
        flip(run / name)
    assert len(json.loads(cli("verify", "run", "--json").out)["damage"]) == 4


def test_what_a_kill_leaves_is_no_damage(cli, run: Path) -> None:
    (run / ".checkpoint.npz.a1b2c3d4.tmp").write_bytes(b"half")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "tr')
    answer = cli("verify", "run")
    assert answer.code == 0
    assert "run/.checkpoint.npz.a1b2c3d4.tmp is what a killed process left" in answer.err
    assert "metrics.jsonl has more than the checkpoint: --resume makes it again" in answer.err
    assert cli("verify", "run", "--quiet").err == ""


def test_a_run_without_a_checkpoint_is_whole_and_says_so(
    cli, here, tiny_train, monkeypatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(self: TrainingStep, t: int, i: int, count: int = 1) -> None:
        raise Killed

    monkeypatch.setattr(TrainingStep, "__call__", killed)
    with pytest.raises(Killed):
        cli(*tiny_train, "--out", "run")
    answer = cli("verify", "run")
    assert answer.code == 0
    assert "run has no checkpoint yet: --resume would begin at step 0" in answer.err
