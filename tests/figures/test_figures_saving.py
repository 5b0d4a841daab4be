"""The same numbers give the same bytes, in every process and under every setting."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.figures import data_samples, save

ROOT = Path(__file__).parents[2]


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def in_another_process(code, **environment):
    inherited = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_figure_is_saved_as_png_and_svg(one_figure, tmp_path):
    paths = save(one_figure, tmp_path / "new" / "folder", "samples")
    assert [path.name for path in paths] == ["samples.png", "samples.svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in paths[1].read_bytes()
    assert sorted(os.listdir(tmp_path / "new" / "folder")) == ["samples.png", "samples.svg"]


def test_saving_twice_and_drawing_twice_give_the_same_bytes(gallery, tmp_path):
    first, again = gallery(), gallery()
    for name, figure in first.items():
        save(figure, tmp_path / "a", name)
        save(figure, tmp_path / "b", name)
        save(again[name], tmp_path / "c", name)
    assert len(bytes_of(tmp_path / "a")) == 2 * len(first)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b") == bytes_of(tmp_path / "c")


@pytest.mark.parametrize(("backend", "kept"), [("no-such-backend", False), ("svg", True)])
def test_no_backend_is_needed_and_one_that_exists_stays_the_users(tmp_path, backend, kept):
    code = (
        "import os, numpy as np; from scratchvae.figures import data_samples, save; "
        f"save(data_samples(np.zeros((4, 12)), (3, 4), 't', 'c'), {str(tmp_path)!r}, 'x'); "
        "import matplotlib; "
        f"assert (matplotlib.get_backend(auto_select=False) == {backend!r}) is {kept}; "
        f"assert os.environ['MPLBACKEND'] == {backend!r}"
    )
    done = in_another_process(code, MPLBACKEND=backend)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.png").exists()


def test_another_process_with_another_hash_seed_and_a_hostile_matplotlibrc_agrees(
    gallery, gallery_source, hostile_config, tmp_path
):
    code = gallery_source + "\nfor name, f in gallery().items(): figures.save(f, FOLDER, name)"
    there = in_another_process(
        code.replace("FOLDER", repr(str(tmp_path / "there"))),
        PYTHONHASHSEED="12345",
        MPLCONFIGDIR=str(hostile_config),
    )
    assert there.returncode == 0, there.stderr
    for name, figure in gallery().items():
        save(figure, tmp_path / "here", name)
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")


def test_importing_the_package_loads_neither_matplotlib_nor_scipy():
    code = (
        "import sys, scratchvae.figures\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'matplotlib', 'scipy'}))"
    )
    assert in_another_process(code).stdout.strip() == "[]"


def test_drawing_needs_no_display_and_no_pyplot(gallery_source, tmp_path):
    code = gallery_source + (
        "\nimport sys\nfigures.save(gallery()['loss'], FOLDER, 'loss')"
        "\nprint('matplotlib.pyplot' in sys.modules)"
    )
    done = in_another_process(code.replace("FOLDER", repr(str(tmp_path))))
    assert done.stdout.strip() == "False", done.stderr
    assert (tmp_path / "loss.png").exists()


def test_the_reader_s_settings_are_back_after_drawing(tmp_path):
    import matplotlib

    with matplotlib.rc_context({"font.size": 31.0, "svg.hashsalt": "mine"}):
        before = dict(matplotlib.rcParams)
        save(data_samples(np.eye(4), (2, 2)), tmp_path, "data")
        assert dict(matplotlib.rcParams) == before


def test_a_file_that_cannot_be_replaced_leaves_no_partial_file(one_figure, tmp_path, monkeypatch):
    save(one_figure, tmp_path, "data")
    before = bytes_of(tmp_path)

    def refuse(source, target):
        raise PermissionError("refused")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        save(one_figure, tmp_path, "data")
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/a"])
def test_a_name_that_is_no_plain_file_name_is_refused(one_figure, tmp_path, name):
    with pytest.raises(ConfigError, match="plain file name"):
        save(one_figure, tmp_path, name)


def test_a_folder_that_is_a_file_is_refused(one_figure, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        save(one_figure, tmp_path / "file", "data")
