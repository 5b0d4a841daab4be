"""Folders of pictures and tables on the command line: trained, drawn, and read alike ever after."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SMALL = ["--hidden", "5", "--epochs", "1", "--batch-size", "5"]
RNG = np.random.default_rng(0)


def figures(run: Path) -> set[str]:
    return {file.stem for file in (run / "figures").glob("*.png")}


@pytest.fixture
def pictures(here: Path) -> Path:
    """Two labels of twelve coloured pictures."""
    for name in ("cats", "dogs"):
        (here / "pictures" / name).mkdir(parents=True)
        for k in range(12):
            array = RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(array).save(here / "pictures" / name / f"{k}.png")
    return here / "pictures"


@pytest.fixture
def table(here: Path) -> Path:
    """Thirty rows of three standardized features, with a kind."""
    rows = [[*RNG.normal(size=3).round(3), "ab"[k % 2]] for k in range(30)]
    text = "\n".join(",".join(map(str, row)) for row in [["x", "y", "z", "kind"], *rows])
    (here / "table.csv").write_text(text)
    return here / "table.csv"


def test_a_folder_of_pictures_trains_and_is_drawn(cli, here, pictures) -> None:
    answer = cli("train", "--data", "pictures", *SMALL, "--out", "run")
    assert answer.code == 0, answer.err
    assert "2 labels: 'cats', 'dogs'" in answer.err
    assert "sorted by label" in answer.err
    assert json.loads((here / "run/config.json").read_text())["data"]["image_shape"] == [4, 5, 3]
    assert {"data", "reconstructions", "film_strip", "latent_grid"} <= figures(here / "run")
    assert cli("complete", "run", "--mask", "left").code == 0


def test_a_table_trains_and_has_figures_of_its_features(cli, here, table) -> None:
    argv = ["--data", "table.csv", "--label-column", "kind", "--likelihood", "gaussian",
            "--mean", "identity", "--out", "run"]  # fmt: skip
    answer = cli("train", *argv, *SMALL)
    assert answer.code == 0, answer.err
    assert json.loads((here / "run/config.json").read_text())["data"]["image_shape"] is None
    assert figures(here / "run") == {
        "feature_reconstructions", "feature_errors", "feature_distributions",
        "latent_scatter", "latent_scatter_train", "losses",
    }  # fmt: skip
    half = cli("complete", "run", "--mask", "left")
    assert (half.code, "a table has no left half" in half.err) == (2, True)
    np.save(here / "seen.npy", np.array([True, False, True]))
    assert cli("complete", "run", "--mask", "seen.npy").code == 0


def test_data_are_read_as_the_run_read_them(cli, here) -> None:
    np.save(here / "flat.npy", RNG.integers(0, 17, (40, 64), dtype=np.uint8))
    how = ["--image-shape", "16", "4", "--full-scale", "16", "--split", "random:3:8"]
    argv = ["train", "--data", "flat.npy", *how, "--no-figures", "--out", "run", *SMALL]
    assert cli(*argv).code == 0
    found = cli("evaluate", "run", "--json")
    assert (found.code, json.loads(found.out)["images"]) == (0, 8)
    resumed = cli("train", "--resume", "run", "--epochs", "2", "--change-settings")
    assert (resumed.code, "8 of 40 images, drawn with seed 3" in resumed.err) == (0, True)
    assert cli("plot", "run", "--quiet").code == 0
    other = cli("train", "--resume", "run", "--full-scale", "17", "--change-settings")
    assert (other.code, "is not the one that run was trained on" in other.err) == (2, True)


def test_images_without_labels_are_drawn_and_half_labels_refused_before_training(cli, here) -> None:
    images = RNG.integers(0, 256, (20, 3, 4), dtype=np.uint8)
    np.savez(here / "some.npz", x=images, y=np.arange(20) % 3 - 1)
    assert cli("train", "--data", "some.npz", *SMALL, "--out", "run").code == 0
    assert "latent_scatter" in figures(here / "run")
    np.savez(here / "half.npz", x=images, y=np.arange(20) / 2)
    answer = cli("train", "--data", "half.npz", *SMALL, "--out", "never")
    assert (answer.code, "label 0.5 of image 1 is not a label" in answer.err) == (2, True)
    assert not (here / "never").exists()


def test_a_named_data_set_is_read_in_one_way(cli, here) -> None:
    answer = cli("train", "--split", "random", *SMALL, "--out", "never")
    assert (answer.code, "split is for data of your own" in answer.err) == (2, True)
    assert (
        cli("train", "--colormap", "magma", "--subset", "first:50", *SMALL, "--out", "a").code == 0
    )
