"""scratchvae replay: from the sentence that a training ends with to the array that was first."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from scratchvae.training.nonfinite.replay import Replay, load_replay, save_replay


@pytest.fixture
def left(cli, here, tiny_train) -> Path:
    """The file of a training that overflowed, in a folder with a space, its data gone."""
    answer = cli(*tiny_train, "--lr", "1e30", "--out", "my run", "--quiet")
    assert (answer.code, answer.out) == (2, "")
    sentence, _, command = answer.err.partition("; replay it with: ")
    assert sentence.startswith("scratchvae: training stopped: an infinity or NaN first appeared in")
    assert shlex.split(command) == ["scratchvae", "replay", "my run/nonfinite.npz"]
    (here / "tiny.npz").unlink()
    return here / "my run/nonfinite.npz"


def test_the_first_array_is_named_with_layer_equation_and_forerunners(cli, left) -> None:
    answer = cli("replay", left)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "epoch 1, step 2 of it (step 2 of the run): 8 images, float32, 12-8-2, relu"
    assert lines[1] == "first not finite: the output of encoder.2 (Dense(4)) (E3)"
    assert lines[2] == "  layer 3 of 3 of the encoder, shape (8, 4)"
    assert " of 32 entries; the first at (0, " in lines[3]
    assert lines[4] == "largest magnitudes before it:"
    assert lines[-3].endswith("  the output of encoder.1 (ReLU())    E10")
    assert lines[-2].startswith("in float64 ")
    assert lines[-1].startswith("try ")


def test_json_holds_all_arrays_before_it(cli, left) -> None:
    answer = cli("replay", left, "--json")
    assert (answer.code, answer.err) == (0, "")
    content = json.loads(answer.out)
    assert (content["kind"], content["epoch"], content["step"]) == ("step", 1, 2)
    assert content["found"]["equations"] == ["E3"]
    assert content["found"]["value"] in ("inf", "-inf", "nan")
    names = [a["name"] for a in content["before"]]
    assert names[-1] == "the output of encoder.1 (ReLU())"
    assert "the images" in names
    assert all(a["bad"] == 0 for a in content["before"])


def test_a_step_that_is_finite_this_time_has_the_exit_code_1(cli, left, tmp_path) -> None:
    replay = load_replay(left)
    tame = {name: np.zeros_like(a) for name, a in replay.params.items()}
    save_replay(tmp_path / "tame.npz", Replay(**(vars(replay) | {"params": tame})))
    answer = cli("replay", tmp_path / "tame.npz")
    assert (answer.code, answer.err) == (1, "")
    assert "run again by one worker on this CPU, every array is finite" in answer.out


def test_the_checkpoint_of_a_run_is_no_replay_file(cli, here, tiny_train) -> None:
    assert cli(*tiny_train, "--out", "run", "--quiet").code == 0
    answer = cli("replay", "run/checkpoint.npz")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "scratchvae: run/checkpoint.npz is not a replay file of scratchvae\n"
