"""What importing the package loads: NumPy and nothing heavier."""

import subprocess
import sys
from pathlib import Path

import pytest

import scratchvae

HEAVY = (
    "scipy", "cupy", "matplotlib", "sklearn", "pooch", "requests", "tqdm", "threadpoolctl",
    "torch", "jax", "safetensors", "mpi4py",
)  # fmt: skip
PARTS = sorted(
    path.stem
    for path in Path(scratchvae.__file__).parent.iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").is_file()) and path.stem[0] != "_"
)
FOR_SCIKIT_LEARN = "sklearn"  # the part that is imported by those who use it


def loaded_by(statement: str) -> set[str]:
    """The modules of interest that a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return {name for name in run.stdout.split() if name in (*HEAVY, "numpy")}


def test_importing_the_package_loads_not_even_numpy():
    assert loaded_by("import scratchvae") == set()


def test_importing_every_part_loads_numpy_and_nothing_heavier():
    assert {"backend", "layers", "likelihoods", "models", "optim", "memory"} <= set(PARTS)
    assert FOR_SCIKIT_LEARN in PARTS
    light = (part for part in PARTS if part != FOR_SCIKIT_LEARN)
    everything = "; ".join(f"import scratchvae.{part}" for part in light)
    assert loaded_by(everything) == {"numpy"}


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_training_a_model_by_hand_loads_nothing_heavier_either(device):
    steps = f"""
from scratchvae.backend import get_backend
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE
from scratchvae.optim import Adam
bk, vae = get_backend({device!r}), VAE.mlp(11, (7,), latent_dim=3)
params, grads = vae.initial_parameters(bk), FlatBuffer(bk, vae.layout)
bound, adam = vae.bind(Workspace(bk, 4), params, grads), Adam().bind(bk, params, grads)
bound.x[...] = 0.5
bound.eps[...] = 0.1
bound.loss_and_gradient(1 / 4)
adam.step(1)
"""
    assert loaded_by(steps) == {"numpy"}


def test_the_check_sees_what_is_loaded():
    assert loaded_by("import scipy") >= {"scipy", "numpy"}


def test_importing_the_package_takes_at_most_one_and_a_half_times_as_long_as_numpy():
    """The fastest of several starts of each, alternating: noise only ever adds time."""
    code = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"

    def seconds(name: str) -> float:
        run = [sys.executable, "-c", code.format(name)]
        return float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)

    numpy, ours = zip(*((seconds("numpy"), seconds("scratchvae")) for _ in range(5)), strict=True)
    assert min(ours) <= 1.5 * min(numpy)
