"""scratchvae train: what it prints where, what it leaves, and that every option arrives."""

import json
from pathlib import Path

import numpy as np
import pytest

from scratchvae.backend import cpu_updates
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.cli.main import make_parser
from scratchvae.cli.train import SIGNAL_EXITS
from scratchvae.config import TrainConfig

KEYS = ["epoch", "train_loss", "test_loss", "test_reconstruction", "test_kl", "inactive_units"]
KEYS += ["seconds"]


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_folder_holds_settings_numbers_and_a_checkpoint(cli, here, tiny_train) -> None:
    answer = cli(*tiny_train, "--out", "run", "--seed", 3)
    assert answer.code == 0
    assert {p.name for p in (here / "run").iterdir()} == {
        "config.json", "metrics.jsonl", "checkpoint.npz", "previous.npz", "report.html",
    }  # fmt: skip
    assert [list(line) for line in metrics(here / "run")] == [KEYS, KEYS]
    settings = json.loads((here / "run" / "config.json").read_text())
    assert settings["config"]["seed"] == 3
    assert settings["data"]["name"] == "tiny.npz"
    assert settings["data"]["image_shape"] == [3, 4]
    assert len(settings["data"]["fingerprint"]) == 64
    assert settings["versions"]["numpy"] == np.__version__


def test_the_numbers_go_to_stdout_and_everything_else_to_stderr(cli, here, tiny_train) -> None:
    answer = cli(*tiny_train, "--out", "run")
    last = metrics(here / "run")[-1]
    assert answer.out.splitlines() == [
        "run: run",
        f"epoch 2: train {last['train_loss']:.3f}, test {last['test_loss']:.3f} nats per image "
        f"(reconstruction {last['test_reconstruction']:.3f}, KL {last['test_kl']:.3f})",
        "protocol: not binarized; Bernoulli likelihood on values in [0, 1] (a cross-entropy, not a "
        "density); 1 sample per image",
    ]
    lines = answer.err.splitlines()
    assert lines[0] == "device: cpu, float32"
    assert [line[:10] for line in lines[1:-1]] == ["epoch 1/2 ", "epoch 2/2 "]
    assert lines[-1] == "report: run/report.html"
    assert f"test {last['test_loss']:8.3f} nats" in lines[2]
    assert "\r" not in answer.err


def test_json_is_one_object_on_stdout_with_the_numbers_of_the_last_epoch(
    cli, here, tiny_train
) -> None:
    answer = cli(*tiny_train, "--out", "run", "--json")
    content = json.loads(answer.out)
    last = metrics(here / "run")[-1]
    assert {key: content[key] for key in KEYS} == last
    assert content["stopped"] == "completed"
    assert content["run"] == "run"
    assert content["best_epoch"] is None
    assert content["protocol"].startswith("not binarized")
    assert "epoch 2/2" in answer.err


@pytest.mark.parametrize("options", [[], ["--json"], ["--validation", "5", "--patience", "1"]])
def test_quiet_leaves_stderr_empty(cli, here, tiny_train, options) -> None:
    answer = cli(*tiny_train, "--quiet", *options)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out


def test_runs_are_numbered_when_no_folder_is_named(cli, here, tiny_train) -> None:
    for number in (1, 2, 3):
        answer = cli(*tiny_train, "--json", "--quiet")
        assert json.loads(answer.out)["run"] == f"runs/tiny-{number}"
    assert sorted(p.name for p in (here / "runs").iterdir()) == ["tiny-1", "tiny-2", "tiny-3"]


def test_an_empty_folder_may_be_named_and_is_used(cli, here, tiny_train) -> None:
    (here / "empty").mkdir()
    assert cli(*tiny_train, "--out", "empty").code == 0
    assert len(metrics(here / "empty")) == 2


def test_the_same_command_gives_the_same_bytes(cli, here, tiny_train) -> None:
    for name in ("a", "b"):
        cli(*tiny_train, "--out", name, "--binarize", "dynamic", "--validation", 5)
    for file in ("checkpoint.npz", "best.npz"):
        assert (here / "a" / file).read_bytes() == (here / "b" / file).read_bytes()
    first, second = (json.loads((here / name / "config.json").read_text()) for name in "ab")
    assert first | {"begun": second["begun"]} == second


def test_loops_that_numba_compiles_are_said_to_compute_and_are_recorded(cli, here, tiny_train):
    pytest.importorskip("numba")
    argv = [word for word in tiny_train if word != "--no-compiled"]
    answer = cli(*argv, "--out", "run")
    assert "device: cpu, float32, compiled loops" in answer.err
    recorded = json.loads((here / "run" / "config.json").read_text())
    assert recorded["versions"]["numba"][0].isdigit()
    assert (
        "compiled loops" in cli("train", "--resume", "run", "--epochs", 3, "--change-settings").err
    )


def test_the_strict_device_trains_the_same_model(cli, here, tiny_train) -> None:
    cli(*tiny_train, "--out", "a")
    cli(*tiny_train, "--out", "b", "--device", "strict")
    assert (here / "a/checkpoint.npz").read_bytes() == (here / "b/checkpoint.npz").read_bytes()


def test_a_validation_split_adds_its_loss_its_best_epoch_and_its_checkpoint(
    cli, here, tiny_train
) -> None:
    answer = cli(*tiny_train, "--out", "run", "--validation", 5)
    losses = [line["validation_loss"] for line in metrics(here / "run")]
    best = 1 + losses.index(min(losses))
    assert f"best epoch on the validation split: {best}" in answer.out
    assert f"validation {losses[0]:.3f}" in answer.err
    assert (here / "run" / "best.npz").exists()
    assert all(list(m) == [*KEYS[:6], "validation_loss", "seconds"] for m in metrics(here / "run"))


def test_patience_ends_a_run_early_with_exit_code_0(cli, here, tiny_train) -> None:
    options = ["--validation", "5", "--patience", "1", "--lr", "0.5", "--epochs", "50"]
    answer = cli(*tiny_train, *options, "--out", "run", "--json")
    content = json.loads(answer.out)
    assert (answer.code, content["stopped"]) == (0, "early")
    assert content["epoch"] == content["best_epoch"] + 1 < 50


OPTIONS = {
    "binarize": "static", "hidden": [5, 4], "activation": "tanh", "latent_dim": 3,
    "likelihood": "gaussian", "std": 0.25, "start_std": 0.5, "mean": "identity",
    "head": "logstd", "init": "he",
    "beta": 0.5, "samples": 2, "optimizer": "adam", "lr": "cosine:0.01:0.001:9", "clip": 4.0,
    "epochs": 3, "batch_size": 7, "seed": 12, "dtype": "float64", "validation": 4,
    "patience": 2, "workers": 1,
    "verify_every": 2, "subset": "first:20", "estimator": "monte-carlo", "kl_warmup": 9,
    "free_bits": 0.0, "encoder": [], "decoder": [], "image_shape": [3, 4], "full_scale": 255,
    "heads": "equal", "output_bias": "mean", "optimizer_settings": ["beta1=0.8", "eps=0.001"],
    "reduction": "sum", "sum_order": "any", "pieces": 0, "evaluate_at": [],
    "condition": "quadrants:1:3:4", "prior": "conditional",
    "labels": 0, "classifier_weight": 1.0, "second_units": 0, "second_hidden": [7, 3],
    "posterior": "gaussian",
    "split": "random:3", "label_column": "kind", "colormap": "magma",
}  # fmt: skip


def test_every_option_arrives_in_config_json(cli, here) -> None:
    argv = ["--data", "tiny.npz", "--no-shuffle", "--no-figures", "--out", "run"]
    for name, value in OPTIONS.items():
        values = value if isinstance(value, list) else [value]
        argv += ["--" + name.replace("_", "-"), *map(str, values)]
    assert cli("train", *argv).code == 0
    config = json.loads((here / "run" / "config.json").read_text())["config"]
    assert config == TrainConfig().to_json() | OPTIONS | {"data": "tiny.npz", "shuffle": False}


def test_the_options_above_are_all_that_are_settings() -> None:
    commands = next(a for a in make_parser()._actions if isinstance(a.choices, dict))
    flags = {a.dest for a in commands.choices["train"]._actions} & set(TrainConfig().to_json())
    of_flows = {"flow_length", "flow_hidden"}  # which belong to other posteriors
    assert flags == set(OPTIONS) | of_flows | {"data", "shuffle", "compiled"}


def test_the_defaults_of_the_command_are_those_of_the_settings() -> None:
    args = make_parser().parse_args(["train"])
    assert {n: getattr(args, n) for n in TrainConfig().to_json()} == TrainConfig().to_json()


def test_no_hidden_layer_is_a_choice(cli, here, tiny_train) -> None:
    assert cli(*tiny_train, "--hidden", "--out", "run").code == 0
    assert json.loads((here / "run" / "config.json").read_text())["config"]["hidden"] == []


@pytest.mark.parametrize(
    "options",
    [
        ["--likelihood", "gaussian-learned", "--mean", "identity"],
        ["--likelihood", "gaussian-per-pixel", "--samples", "3"],
        ["--binarize", "dynamic", "--beta", "0"],
        ["--binarize", "threshold", "--latent-dim", "20", "--activation", "sigmoid"],
        ["--init", "truncated-normal", "--dtype", "float64"],
    ],
)
def test_models_of_every_kind_train_and_evaluate(cli, here, tiny_train, options) -> None:
    assert cli(*tiny_train, *options, "--out", "run").code == 0
    answer = cli("evaluate", "run", "--json", "--quiet")
    assert json.loads(answer.out)["loss"] == metrics(here / "run")[-1]["test_loss"]


def test_a_file_without_a_test_part_says_what_it_does(cli, here, tiny_train) -> None:
    np.save(here / "one.npy", np.load(here / "tiny.npz")["x_train"])
    answer = cli(*tiny_train, "--data", "one.npy")
    assert "one.npy has no test part: its last 2 of 27 images are the test split" in answer.err
    assert "one.npy" not in cli(*tiny_train, "--data", "one.npy", "--quiet").err


def test_no_connection_is_needed_for_the_default_data(cli, here) -> None:
    answer = cli("train", "--epochs", 1, "--hidden", 8, "--no-figures", "--quiet", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["run"] == "runs/digits-1"


# ---- a loss that is not finite ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (["--lr", "1e30"], "the output of encoder.2 (Dense(4)), at epoch 1, step 2 of it (step 2"),
        (["--lr", "1e30", "--batch-size", "27"], "at the test images after epoch 1 (step 1 of"),
    ],
)
def test_a_loss_that_is_not_finite_ends_with_one_sentence_and_exit_code_2(
    cli, here, tiny_train, options, where
) -> None:
    answer = cli(*tiny_train, *options, "--out", "run", "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1
    assert answer.err.startswith("scratchvae: training stopped: an infinity or NaN first appeared")
    assert where in answer.err
    left = sorted(p.name for p in (here / "run").iterdir())
    assert left == ["config.json", "nonfinite.npz"]  # to be replayed


def test_huge_data_stop_at_the_first_step_that_sees_them(cli, here, tiny_train) -> None:
    images = np.zeros((40, 12), np.float32)
    images[30] = 1e30
    np.save(here / "huge.npy", images)
    options = ["--data", "huge.npy", "--likelihood", "gaussian", "--mean", "identity"]
    answer = cli(*tiny_train, *options, "--no-shuffle", "--out", "run")
    assert answer.code == 2
    assert "at epoch 1, step 4 of it (step 4 of the run)" in answer.err


def test_after_good_epochs_the_checkpoint_of_the_last_one_stays(
    cli, here, tiny_train, monkeypatch
) -> None:
    adam = cpu_updates.adam

    def poisoned(rule, bk, p, g, buffers, lr, t) -> None:
        adam(rule, bk, p, g, buffers, lr, t)
        if t == 10:
            p[0] = float("nan")

    monkeypatch.setitem(NumpyBackend.fused_forms, "adam", poisoned)
    answer = cli(*tiny_train, "--epochs", 9, "--out", "run", "--quiet")
    assert answer.code == 2
    assert "encoder.0.W after the update, at epoch 3, step 2 of it (step 10 of" in answer.err
    last = metrics(here / "run")[-1]
    content = json.loads(cli("evaluate", "run", "--json", "--quiet").out)
    assert content["epoch"] == last["epoch"] == 2
    assert content["loss"] == last["test_loss"]


# ---- exit codes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_says_where_its_state_is_and_exits_with_the_signal(
    cli, here, tiny_train, name, monkeypatch
) -> None:
    import signal

    import scratchvae.training.loop as loop

    epoch_order = loop.epoch_order

    def interrupting(n, seed, epoch, shuffle):
        if epoch == 2:
            signal.raise_signal(getattr(signal, name))
        return epoch_order(n, seed, epoch, shuffle)

    monkeypatch.setattr(loop, "epoch_order", interrupting)
    answer = cli(*tiny_train, "--out", "run", "--json", "--epochs", 9)
    assert answer.code == SIGNAL_EXITS[name] == {"SIGINT": 130, "SIGTERM": 143}[name]
    assert "interrupted: the state is saved in run/checkpoint.npz" in answer.err
    assert json.loads(answer.out)["stopped"] == name
    assert json.loads(cli("evaluate", "run", "--json").out)["epoch"] == 1


@pytest.mark.parametrize("hidden", [(10**15,), (2**53,), (10**6, 10**6)])
def test_a_model_larger_than_memory_is_refused_before_a_folder_exists(
    cli, here, tiny_train, hidden, monkeypatch
) -> None:
    monkeypatch.setattr("scratchvae.backend.allocation._machine_memory", lambda: 8 << 30)
    before = sorted(here.iterdir())
    answer = cli(*tiny_train, "--hidden", *hidden, "--quiet")
    assert answer.code == 2
    assert answer.err.startswith("scratchvae: not enough memory: ")
    assert sorted(here.iterdir()) == before


def test_a_disk_that_fills_up_while_training_is_said_in_words(
    cli, here, tiny_train, monkeypatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", "run/metrics.jsonl")

    monkeypatch.setattr("scratchvae.runs.folder.RunFolder.append_metrics", full)
    answer = cli(*tiny_train, "--out", "run", "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert "No space left on device: 'run/metrics.jsonl'" in answer.err
