"""The notebooks hold the same exercises, and grade themselves."""

import json
import sys
from types import ModuleType

import pytest

from scratchvae.exercises import grade_here
from scratchvae.exercises.catalogue import EXERCISES, exercise_named, files
from scratchvae.exercises.notebook import notebook

NUMBERS = {exercise.name: i for i, exercise in enumerate(EXERCISES, start=1)}


@pytest.fixture
def kernel(monkeypatch) -> ModuleType:
    """A namespace such as a kernel's."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def run(kernel: ModuleType, content: dict) -> None:
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            exec(compile(cell["source"], "ipykernel cell", "exec"), vars(kernel))


@pytest.mark.parametrize("name", NUMBERS)
def test_a_notebook_fails_empty_and_passes_solved(name, kernel, capsys):
    exercise = exercise_named(name)[1]
    with pytest.raises(AssertionError, match="not written yet: "):
        run(kernel, notebook(exercise, NUMBERS[name]))
    run(kernel, notebook(exercise, NUMBERS[name], solved=True))
    assert capsys.readouterr().out == "right\n"


def test_a_wrong_cell_gets_the_verdict_that_a_file_gets(kernel):
    exec("import numpy as np\ndef dense(x, W, b):\n    return x @ W", vars(kernel))
    with pytest.raises(AssertionError, match=r"y: the bias is not added"):
        grade_here("dense")


def test_the_folder_has_a_notebook_for_every_exercise_and_is_not_written_over(exercises, tmp_path):
    folder = tmp_path / "notebooks"
    assert exercises("notebooks", folder)[0] == 0
    written = sorted(path.name for path in folder.iterdir())
    assert written == [file.replace(".py", ".ipynb") for file in files()]
    content = json.loads((folder / "06_kl.ipynb").read_text(encoding="utf-8"))
    assert content == notebook(exercise_named("kl")[1], 6)
    code, _, err = exercises("notebooks", folder)
    assert code == 2
    assert "exists already" in err


def test_the_body_is_nbgraders_solution_cell_and_the_last_cell_its_test():
    cells = notebook(exercise_named("log_p")[1], 14)["cells"]
    marks = [cell["metadata"].get("nbgrader", {}) for cell in cells]
    assert [m.get("solution") for m in marks] == [None, None, True, False, False]
    assert [m.get("points") for m in marks] == [None, None, None, None, 1]
    assert marks[-1]["grade"]
    assert marks[-1]["locked"]
    ids = [m["grade_id"] for m in marks if m]
    assert len(set(ids)) == len(ids)


def test_a_training_shows_its_bar_on_one_line_of_a_notebook():
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    code = """import scratchvae
data = scratchvae.load_dataset("digits")
config = scratchvae.TrainConfig(hidden=8, epochs=2, workers=1)
scratchvae.train(config, data).metrics[-1]["epoch"]"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=120).execute()
    *drawn, result = book.cells[0].outputs
    bar = "".join(out["text"] for out in drawn)
    assert result["data"]["text/plain"] == "2"
    assert "100%" in bar
    assert bar.count("\n") == 1
    assert bar.endswith("\n")


def test_jupyter_finds_the_notebooks_valid_and_runs_them_with_the_solutions():
    """One kernel for all of them, each cell after the other."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    whole = notebook(EXERCISES[0], 1, solved=True) | {"cells": []}
    for number, exercise in enumerate(EXERCISES, start=1):
        one = notebook(exercise, number, solved=True)
        nbformat.validate(one)
        whole["cells"] += [cell | {"id": f"{cell['id']}-{number}"} for cell in one["cells"]]
    book = nbformat.from_dict(whole)
    nbclient.NotebookClient(book, timeout=120).execute()
    said = [out["text"] for cell in book.cells for out in cell.get("outputs", ())]
    assert "".join(said) == "right\n" * len(EXERCISES)
