"""benchmarks/gpu_first_light.sh without a GPU: an interpreter that is a stub fails, and hangs."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu_first_light.sh"
TESTS = ("verbs", "noise", "kernels", "parity", "steps", "captured")
pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("timeout")), reason="there is no bash or no timeout"
)

GOOD = """\
case "$*" in
*" info"*) echo "GPU             usable True, name A GPU of cardboard" ;;
*"-m pytest"*fifty*) echo "relative error of the gradient in float32: 1e-6"
    echo "iwae: relative error of the gradient in TF32: 4e-4"
    echo "iwae: relative error of the gradient in float32: 2e-6"
    echo "= 9 passed, 700 deselected in 1.00s =" ;;
*"-m pytest"*) echo "= 9 passed, 700 deselected in 1.00s =" ;;
*gpu_step*) echo "model  batch  precision  captured µs"
    echo "gluon 784-400-400-2 relu  100  float32  45.0" ;;
*iwae*) trap 'echo "interrupted: the state is saved in x"; exit 143' TERM
    echo "epoch 7/9  train  90.0  0.1 s"; sleep 60 & wait ;;
*train*|*gluon*) echo "epoch 5/5  train  27.0  test  26.0 nats  0.2 s" ;;
esac
"""


def first_light(tmp_path, seconds, stub=None, parts="", **variables):
    """The script's process after it has ended, its summary, and its result lines by part."""
    python = sys.executable
    if stub is not None:
        python = str(tmp_path / "python")
        Path(python).write_text(f"#!/usr/bin/env bash\n{stub}")
        Path(python).chmod(0o755)
    env = {k: v for k, v in os.environ.items() if k != "SCRATCHVAE_DATA"}
    env |= {"PYTHON": python, "PARTS": parts, **variables}
    began, out = time.monotonic(), tmp_path / "out"
    done = subprocess.run(
        ["bash", str(SCRIPT), str(out), str(seconds)], env=env, capture_output=True, text=True
    )
    assert time.monotonic() - began < seconds + 4  # bash's own start and end, on a busy machine
    results = {path.stem[3:]: path.read_text() for path in sorted(out.glob("*.result"))}
    return done, (out / "summary.txt").read_text(), results


def test_all_parts_run_in_order_and_the_summary_has_what_counts(tmp_path):
    done, summary, results = first_light(tmp_path, 12, GOOD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(results)[:7] == ["info", *TESTS]
    assert list(results)[-4:] == ["step-first", "step-tf32", "step-rest", "iwae"]
    assert "usable True, name A GPU of cardboard" in results["info"]
    assert "passed" in results["kernels"]
    assert "9 passed, 700 deselected" in results["kernels"]
    assert (
        "gradient in float32: 2e-6; largest error of a gradient in TF32: 4e-4"
        in (results["captured"])
    )
    assert "1 epochs; epoch 5/5  train  27.0" in results["train"]
    assert "stopped" in results["iwae"]  # by SIGTERM, after saving
    assert summary.count("gluon 784-400-400-2 relu") == 3
    assert summary.count("model  batch") == 1
    assert len(summary.splitlines()) <= 40
    assert done.stdout.endswith(summary)


def test_a_failure_in_the_middle_hides_nothing_of_what_comes_later(tmp_path):
    failing = """case "$*" in
*"-m pytest"*kernels*) echo "FAILED tests/a.py::test_b[relu] - AssertionError: relu: y[3] is 0"
    echo "= 1 failed, 8 passed in 2.00s ="; exit 1 ;;
*gpu_step*tf32*) echo "Traceback"; echo "RuntimeError: no cuBLAS"; exit 7 ;;
esac
"""
    parts = "kernels parity steps captured train step-tf32 step-rest"
    done, summary, results = first_light(tmp_path, 12, failing + GOOD, parts)
    assert done.returncode == 1
    assert "1 failed, 8 passed in 2.00s; FAILED tests/a.py::test_b[relu]" in results["kernels"]
    assert "AssertionError: relu: y[3] is 0" in summary
    assert "status 7; RuntimeError: no cuBLAS" in results["step-tf32"]
    for name in ("parity", "steps", "captured", "train", "step-rest"):
        assert " passed " in results[name], name


def test_what_hangs_is_ended_in_time_and_the_rest_still_runs(tmp_path):
    hanging = """case "$*" in
*"-m pytest"*kernels*) trap "" INT TERM; echo "tests/a.py::test_b[1] PASSED [ 10%]"
    echo -n "tests/a.py::test_b[2] "; while :; do sleep 60; done ;;
esac
"""
    _, _, results = first_light(tmp_path, 8, hanging + GOOD, "kernels train step-first")
    assert "timed out" in results["kernels"]
    assert "1 passed, in tests/a.py::test_b[2]" in results["kernels"]
    assert " passed " in results["train"]
    assert " passed " in results["step-first"]


def test_who_stops_it_gets_the_summary_of_what_has_ended(tmp_path):
    stub = 'case "$*" in *"-m pytest"*) echo $$ >"$PIDS"; sleep 60; exit ;; esac\n'
    python, pids, out = (tmp_path / name for name in ("python", "pids", "out"))
    python.write_text(f"#!/usr/bin/env bash\n{stub}{GOOD}")
    python.chmod(0o755)
    env = os.environ | {"PYTHON": str(python), "PIDS": str(pids)}
    script = subprocess.Popen(
        ["bash", str(SCRIPT), str(out), "400"], env=env, stdout=subprocess.DEVNULL
    )
    while not (pids.exists() and pids.read_text()):
        time.sleep(0.05)
    script.terminate()
    assert script.wait(30) == 130
    assert "A GPU of cardboard" in (out / "summary.txt").read_text()
    with pytest.raises(ProcessLookupError):  # the part has ended, too
        os.kill(int(pids.read_text()), 0)


def test_an_interpreter_that_does_nothing_right_still_gives_a_summary(tmp_path):
    done, summary, results = first_light(tmp_path, 12, "echo Segmentation fault; exit 139\n")
    assert done.returncode == 1
    assert len(summary.splitlines()) == 1 + len(results)
    ran = {name for name, line in results.items() if "status 139; Segmentation fault" in line}
    skipped = {"sanitizer", "images"}  # where there is no such tool, and where MNIST is at hand
    assert ran | skipped == set(results)


def test_no_time_left_is_a_reason_to_skip(tmp_path):
    slow = 'case "$*" in *info*) trap "" TERM; sleep 4 ;; esac\n'
    _, _, results = first_light(tmp_path, 4, slow + GOOD, "info verbs train")
    assert "timed out" in results["info"]
    lines = [results[name] for name in ("verbs", "train")]
    assert all(" passed " in line or "less than a third of its share" in line for line in lines)


def test_without_pytest_its_parts_are_skipped_with_a_reason(tmp_path):
    bare = 'case "$*" in *"-m pytest"*) echo "$0: No module named pytest"; exit 1 ;; esac\n'
    done, _, results = first_light(tmp_path, 12, bare + GOOD, "info noise train")
    assert done.returncode == 0
    assert "skipped" in results["noise"]
    assert "No module named pytest" in results["noise"]


def test_where_there_is_no_gpu_each_part_says_why(tmp_path):
    stub = 'case "$*" in *info*) echo "GPU             CuPy is not there"; exit ;; esac\n'
    done, _, results = first_light(tmp_path, 12, stub + GOOD, "info kernels train step-first iwae")
    assert done.returncode == 0
    for name in ("kernels", "train", "step-first", "iwae"):
        assert results[name].endswith("CuPy is not there\n"), name


def test_pooch_ruff_and_mypy_need_not_be_there(tmp_path):
    for name in ("pooch", "ruff", "mypy"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done, _, results = first_light(tmp_path, 60, None, "info images", PYTHONPATH=path)
    assert done.returncode == 0, done.stdout
    assert " passed " in results["info"]
    assert " passed " in results["images"] or "there is MNIST" in results["images"]


@pytest.mark.long
def test_the_strict_device_trains_in_place_of_a_gpu(tmp_path):
    done, _, results = first_light(tmp_path, 300, None, "info train", DEVICE="strict")
    assert done.returncode == 0, done.stdout
    assert "5 epochs; epoch 5" in results["train"]
    assert (tmp_path / "out" / "runs" / "digits" / "checkpoint.npz").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "usage: "),
        (("{out}", "soon"), "usage: "),
        (("{out}",), "is not empty: name a new folder"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(arguments, message, tmp_path):
    (tmp_path / "mine").touch()
    told = [argument.format(out=tmp_path) for argument in arguments]
    done = subprocess.run(["bash", str(SCRIPT), *told], capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_name_that_is_no_part_is_refused(tmp_path):
    env = os.environ | {"PARTS": "info kernel"}
    done = subprocess.run(
        ["bash", str(SCRIPT), str(tmp_path / "out")], env=env, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "kernel is no part; the parts are " in done.stderr


def test_the_parts_are_all_tests_that_need_a_gpu(tmp_path):
    """Every file with such tests is handed to pytest; what one part leaves out another has."""
    telling = 'case "$*" in *"-m pytest"*) printf "%s\\n" "$@" ;; esac\n'
    first_light(tmp_path, 12, telling + GOOD, " ".join(TESTS))
    told, choices = set(), []
    for path in (tmp_path / "out").glob("*.log"):
        lines = path.read_text().splitlines()
        files = [line for line in lines if line.startswith("tests/")]
        told |= set(files)
        if "-k" in lines:
            choices.append((files[0], lines[lines.index("-k") + 1]))
    for file, choice in choices:
        assert (file, f"not {choice}") in choices or choice.startswith("not "), choice
    assert told == {
        str(path.relative_to(ROOT))
        for path in ROOT.glob("tests/*/test_*.py")
        if path != Path(__file__) and needs_a_gpu(path)
    }


def needs_a_gpu(path):
    """Whether some of a file's tests do; those of a CUDA backend that ``make`` makes do, too."""
    text = path.read_text()
    made = path.parent.name == "backend" and re.search(r"^def test_\w+\(make\b", text, re.M)
    return bool(made) or "pytest.mark.gpu" in text
