"""scratchvae export, and evaluate --weights: there and back on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

library = pytest.importorskip("safetensors.numpy")


@pytest.fixture
def run(cli, here, tiny_train) -> Path:
    assert cli(*tiny_train, "--out", "run", "--validation", 5).code == 0
    return here / "run"


def test_export_says_what_it_wrote(cli, run, here) -> None:
    answer = cli("export", "run", "a.safetensors", "--json")
    content = json.loads(answer.out)
    held = library.load_file(here / "a.safetensors")
    assert content["tensors"] == {name: list(a.shape) for name, a in held.items()}
    assert list(content["tensors"])[:2] == ["encoder.0.weight", "encoder.0.bias"]
    evaluated = json.loads(cli("evaluate", "run", "--json").out)
    assert (content["file"], content["dtype"]) == ("a.safetensors", "float32")
    assert content["epoch"] == evaluated["epoch"]
    text = cli("export", "run", "b.safetensors").out.splitlines()
    assert text[0] == f"b.safetensors: float32, after epoch {content['epoch']}"
    assert text[1].split(maxsplit=1) == ["encoder.0.weight", "(8, 12)"]
    assert answer.err == ""


def test_exported_weights_evaluate_as_the_run_does(cli, run) -> None:
    cli("export", "run", "a.safetensors")
    own = json.loads(cli("evaluate", "run", "--json").out)
    back = json.loads(cli("evaluate", "run", "--weights", "a.safetensors", "--json").out)
    assert back == own | {"weights": "a.safetensors"}
    text = cli("evaluate", "run", "--weights", "a.safetensors", "--quiet").out
    assert text.startswith("the weights of a.safetensors, 10 test images, nats per image\n")


def test_weights_from_elsewhere_are_evaluated_instead_of_the_runs(cli, run, here) -> None:
    """As ``safetensors.torch.save_file`` writes a state_dict: no metadata."""
    cli("export", "run", "a.safetensors")
    weights = library.load_file(here / "a.safetensors")
    library.save_file({name: np.zeros_like(a) for name, a in weights.items()}, "zero.safetensors")
    content = json.loads(cli("evaluate", "run", "--weights", "zero.safetensors", "--json").out)
    assert content["kl"] == 0
    assert content["reconstruction"] == pytest.approx(12 * np.log(2))
