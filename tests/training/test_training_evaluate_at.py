"""Evaluation after given epochs only: the same training, fewer numbers."""

import pytest
from training_helpers import numbers, settings, tiny, trained

from scratchvae.backend import get_backend
from scratchvae.cli.main import main
from scratchvae.runs import RunFolder
from scratchvae.training import train

TESTED = {"test_loss", "test_reconstruction", "test_kl"}


def test_the_epochs_named_and_the_last_are_evaluated_and_nothing_else_changes() -> None:
    every, some = (trained(settings(epochs=5, evaluate_at=at)) for at in ((), (2, 3)))
    assert [m["epoch"] for m in some.metrics if m.keys() >= TESTED] == [2, 3, 5]
    for whole, part in zip(numbers(every), numbers(some), strict=True):
        assert part.items() <= whole.items()
    assert (every.model.params.flat == some.model.params.flat).all()


def test_a_run_so_evaluated_is_resumed_to_the_same_numbers(tmp_path) -> None:
    config = settings(epochs=4, evaluate_at=(3,), validation=5)
    whole = trained(config)
    run = RunFolder.create(tmp_path / "run", {"config": config.to_json()})

    def stop(epoch: int, model: object) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    bk = get_backend("cpu")
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny(), backend=bk, run=run, on_epoch=stop)
    again = train(config, tiny(), backend=bk, run=run, resume=True)
    assert numbers(again) == numbers(whole)
    assert again.best_epoch == whole.best_epoch in (3, 4)


def test_its_lines_and_its_figures_show_what_there_is(tmp_path, capsys) -> None:
    args = ["train", "--epochs", "3", "--hidden", "4", "--evaluate-at", "2"]
    assert main([*args, "--out", str(tmp_path / "run")]) == 0
    err = capsys.readouterr().err
    assert "epoch 1/3  train   " in err
    assert [line.count("test") for line in err.splitlines() if "/3  " in line] == [0, 1, 1]
    assert (tmp_path / "run/figures/losses.png").exists()
    assert main(["verify", str(tmp_path / "run")]) == 0
