"""What docs/pages.md says of the pages is so."""

import re
import shlex
from pathlib import Path

from scratchvae.cli.main import main

TEXT = (Path(__file__).resolve().parents[2] / "docs/pages.md").read_text(encoding="utf-8")


def test_its_commands_leave_the_pages_that_it_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    (train, *others), (beta, *comparisons) = (
        [shlex.split(line)[1:] for line in block.splitlines()] for block in blocks
    )
    quick = "--epochs 1 --hidden 32 --device cpu --no-compiled --no-figures --quiet"
    assert main([*train, *quick.split()]) == 0
    run = tmp_path / "runs/plane"
    for argv, name in zip(others, ("explain.html", "explorer.html"), strict=True):
        assert main([*argv, "--quiet"]) == 0
        assert name in TEXT
        assert (run / name).stat().st_size > 50_000
        assert main([*argv, "--quiet"]) == 2
        assert f"{name} exists already" in capsys.readouterr().err
    assert main([*beta, *quick.split()]) == 0
    for argv in comparisons:
        assert main([*argv, "--quiet"]) == 0
    assert (tmp_path / "beta.html").stat().st_size > 50_000
