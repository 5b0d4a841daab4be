"""What a command finds around it: variables, little memory, packages, a Ctrl-C at any moment."""

import json
import subprocess
import sys

import pytest

from scratchvae.cli.main import exit_status
from scratchvae.errors import why_not_imported

BIG = str(10**60)


@pytest.mark.parametrize(
    "option",
    ["epochs", "latent-dim", "samples", "batch-size", "validation", "patience", "workers",
     "verify-every", "kl-warmup", "seed", "hidden"],
)  # fmt: skip
def test_a_number_that_no_machine_could_count_to_is_refused(cli, here, option) -> None:
    answer = cli("train", "--data", "tiny.npz", f"--{option}", BIG, "--quiet")
    assert answer.code == 2
    assert f"{option.replace('-', '_')} is " in answer.err
    assert "2⁶³" in answer.err or "2⁶⁴" in answer.err
    assert not (here / "runs").exists()


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), True])
def test_a_number_that_no_float_holds_is_refused(cli, here, tiny_train, value) -> None:
    cli(*tiny_train, "--out", "run")
    path = here / "run" / "config.json"
    content = json.loads(path.read_text())
    content["config"]["std"] = value
    path.write_text(json.dumps(content))
    answer = cli("train", "--resume", "run")
    assert answer.code == 2
    assert "std is" in answer.err


@pytest.mark.parametrize("name", ["Has\0well", "", "a=b", "Haswell; rm -rf", "x" * 200_000])
def test_what_is_no_name_of_a_kernel_is_not_tried(
    python, outside, here, tiny_train, cli, name
) -> None:
    cli(*tiny_train, "--epochs", "9", "--out", "run")
    path = here / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kernel": name}))
    argv = [*python, "train", "--resume", "run", "--epochs", "10", "--change-settings"]
    done = subprocess.run(argv, cwd=here, env=outside, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["MININTERVAL", "MINITERS", "POSITION", "COLOUR", "NONSENSE"])
def test_variables_of_tqdm_do_not_reach_the_bar(python, outside, name) -> None:
    program = (
        "import io\nfrom scratchvae.training.progress import Bar\n"
        "bar = Bar(io.StringIO()); bar.start(1, 3); bar.advance(3, 1.0); bar.stop()\n"
        "print('100%' in bar.stream.getvalue())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=outside | {f"TQDM_{name}": "soon"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("megabytes", [60, 200, 350])
def test_little_memory_is_said_in_a_sentence(python, outside, here, tiny_train, megabytes) -> None:
    resource = pytest.importorskip("resource")
    limit = megabytes * 2**20
    done = subprocess.run(
        [*python, *tiny_train, "--quiet"], cwd=here, env=outside, capture_output=True, text=True,
        timeout=120, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert done.returncode == 0 or done.stderr.strip()


def test_ctrl_c_while_the_program_is_loaded_is_said_in_a_sentence(outside, tmp_path) -> None:
    """The import of NumPy, here a slow one, is where a program spends its first moment."""
    (tmp_path / "numpy.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "    import time; time.sleep(9)\nexcept BaseException: raise ImportError('half there')\n"
    )
    env = outside | {"PYTHONPATH": f"{tmp_path}:{outside['PYTHONPATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "scratchvae", "info"], env=env, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "scratchvae: interrupted\n")


def test_a_package_that_is_missing_is_named_with_how_to_install_it(
    python, outside, here, tiny_train, tmp_path
) -> None:
    for module in ("matplotlib", "sklearn", "numpy"):
        (tmp_path / module).mkdir()
        (tmp_path / module / f"{module}.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')"
        )
    argv = [a for a in tiny_train if a != "--no-figures"]
    digits = ["train", "--epochs", "1", "--no-figures"]
    for module, package, command in (
        ("matplotlib", "matplotlib", argv),
        ("sklearn", "scikit-learn", digits),
        ("numpy", "numpy", digits),
    ):
        env = outside | {"PYTHONPATH": f"{tmp_path / module}:{outside['PYTHONPATH']}"}
        done = subprocess.run(
            [sys.executable, "-m", "scratchvae", *command, "--quiet"], cwd=here, env=env,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr == (
            f"scratchvae: the package {package} is not installed: pip install {package}\n"
        )


def test_why_a_package_cannot_be_imported_is_its_first_reason() -> None:
    error = ImportError("a page of advice")
    error.__cause__ = ImportError("libblas.so: no such file")
    assert exit_status(error) == (2, why_not_imported(error))
    assert why_not_imported(error).endswith("it is damaged: libblas.so: no such file")


def test_no_memory_without_a_word_is_still_a_sentence() -> None:
    assert exit_status(MemoryError()) == (2, "not enough memory")
