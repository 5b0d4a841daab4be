"""Several workers that divide a step: the same training, whichever worker computes which part."""

import numpy as np
import pytest
from training_helpers import numbers, settings, tiny, trained

import scratchvae.training.partition as partition
import scratchvae.training.step as step_module
from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError, NonFiniteError
from scratchvae.layers import BoundSequential, Dense, ReLU, Reshape, Sequential, Tanh
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.optim import BoundOptimizer
from scratchvae.runs import RunFolder
from scratchvae.training import train


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It computes the parts of all workers, with the same results as a process for each."""
    monkeypatch.setattr(step_module, "cores", lambda: 1)


@pytest.fixture(params=["by rows", "by units"])
def division(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are divided by the rows of a batch or, as large ones are, by their units."""
    monkeypatch.setattr(partition, "MANY_WEIGHTS", 1 if request.param == "by units" else 2**60)
    monkeypatch.setattr(partition, "UNITS", 2)


@pytest.mark.usefixtures("division")
@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"samples": 3, "hidden": (8, 5)},
        {"binarize": "dynamic", "latent_dim": 3},
        {"likelihood": "gaussian", "head": "logstd", "hidden": ()},
        {
            "encoder": ("reshape 2 2 3", "conv 2 2", "relu", "flatten", "dense 9", "tanh"),
            "decoder": ("dense 8", "sigmoid", "reshape 2 2 2", "conv 3 2", "flatten"),
            "hidden": (),
        },
        {"batch_size": 13},  # 13, 13 and 1: most workers have nothing to do in the last batch
    ],
)
def test_the_number_of_workers_changes_rounding_and_nothing_else(workers: int, changes) -> None:
    alone = trained(settings(dtype="float64", workers=1, lr=0.01, **changes))
    shared = trained(settings(dtype="float64", workers=workers, lr=0.01, **changes))
    for name, a in alone.model.params.to_host().items():
        np.testing.assert_allclose(
            shared.model.params.to_host()[name], a, rtol=1e-7, atol=1e-10, err_msg=name
        )
    for mine, theirs in zip(numbers(alone), numbers(shared), strict=True):
        assert mine.pop("inactive_units") == theirs.pop("inactive_units")
        assert mine == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("units", [(3, 40), (33, 17), (64, 16)])
def test_a_network_divided_by_units_is_the_same_network(workers: int, units, monkeypatch) -> None:
    """Every worker has some units of every layer, or none of the narrow one; x and dy in rows."""
    monkeypatch.setattr(partition, "MANY_WEIGHTS", 1)
    network = Sequential(Dense(units[0]), Tanh(), Reshape((units[0],)), Dense(units[1]), ReLU())
    bk, rng = get_backend("cpu", dtype="float64"), np.random.default_rng(1)
    shapes = {f"n.{p.name}": p.shape for p in network.parameters((5,))}
    params, grads = (FlatBuffer(bk, Layout(shapes)) for _ in range(2))
    params.flat[...] = rng.standard_normal(params.flat.size)
    workspace = Workspace(bk, 8)

    def bound(rows: Workspace) -> BoundSequential:
        return network.bind(rows, "n", rows.buffer("x", 5), rows.buffer("dx", 5), params, grads)

    whole, ranges = bound(workspace), partition.row_ranges(8, workers, even=True)
    parts = [bound(workspace.rows(*some)) for some in ranges]
    x, dy = rng.standard_normal((8, 5)), rng.standard_normal((8, units[1]))
    whole.x[...], whole.dy[...] = x, dy
    whole.forward()
    whole.grad_inputs()
    y, dx = whole.y.copy(), whole.dx.copy()
    for worker, part in enumerate(parts):
        partition.divide_units(part, whole, worker, workers)
    whole.x[...], whole.dy[...], whole.y[...], whole.dx[...] = x, dy, np.nan, np.nan
    for meetings in ("forward_together", "grad_inputs_together"):
        whole.dy[...] = dy
        seen = list(zip(*(getattr(part, meetings)() for part in parts), strict=True))
        assert len(seen) == 4  # before and after each of the two products
    np.testing.assert_allclose(whole.y, y, rtol=1e-13)
    np.testing.assert_allclose(whole.dx, dx, rtol=1e-12)


@pytest.mark.parametrize("workers", [2, 3])
def test_the_same_workers_give_the_same_numbers_to_the_bit(workers: int) -> None:
    runs = [trained(settings(workers=workers, epochs=5)) for _ in range(2)]
    assert numbers(runs[0]) == numbers(runs[1])
    assert runs[0].model.params.flat.tobytes() == runs[1].model.params.flat.tobytes()


@pytest.mark.parametrize("lr", [1e3, 1e10, 1e20, 1e30])
def test_an_infinity_is_found_where_a_single_worker_finds_it(lr: float) -> None:
    sentences = []
    for workers in (1, 2):
        with pytest.raises(NonFiniteError) as caught:
            trained(settings(workers=workers, lr=lr, epochs=30, hidden=(8, 6)))
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_infinity_in_the_last_workers_parameters_is_found(workers: int, monkeypatch) -> None:
    """The epoch is run again with every worker's update, not with the first one's alone."""
    step = BoundOptimizer.step

    def poisoned(self: BoundOptimizer, t: int, part: int = 0, lr: float | None = None) -> None:
        step(self, t, part, lr)
        if t >= 10 and part + 1 == len(self.parts):
            self.parts[part][0][-5] = np.inf  # the last of the 12 in decoder.2.b: 4 pad it

    monkeypatch.setattr(BoundOptimizer, "step", poisoned)
    with pytest.raises(NonFiniteError, match=r"decoder\.2\.b after the update, at epoch 3, step 2"):
        trained(settings(workers=workers, epochs=4))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"workers": 9}, "workers is 9, but a batch has only 8 images"),
        ({"workers": 2, "likelihood": "gaussian-learned"}, "likelihood without parameters"),
        ({"workers": 2, "batch_size": 1}, "a batch has only 1 image"),
    ],
)
def test_workers_that_cannot_share_are_refused(changes, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        trained(settings(**changes))
    if "images" not in complaint:
        assert trained(settings(**(changes | {"workers": 0}))).stopped == "completed"


def test_another_device_shares_nothing() -> None:
    with pytest.raises(ConfigError, match="only a step on the CPU"):
        trained(settings(workers=2), device="strict")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_loads_with_the_settings_that_it_was_started_with(workers: int, tmp_path) -> None:
    config = settings(workers=workers)
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    train(config, tiny(), backend=get_backend("cpu"), run=folder)
    assert folder.load(get_backend("cpu"))[1].config == config.to_json()


IMAGE_LAYERS = {
    "encoder": ("reshape 3 4 1", "conv 5 3", "tanh", "conv 4 2 2", "tanh", "flatten"),
    "decoder": ("dense 24", "tanh", "reshape 3 4 2", "conv-transpose 3 3", "tanh", "conv 1 3"),
}


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize(
    "changes",
    [
        IMAGE_LAYERS,  # convolutions work in buffers, of which each worker needs its own
        IMAGE_LAYERS | {"samples": 2},
        {"optimizer": "rmsprop", "clip": 0.01},
        {"optimizer": "sgd", "clip": 0.01, "lr": "cosine:0.1:0.01:9"},
    ],
)
def test_shared_convolutions_and_clipped_gradients_are_the_same_too(workers: int, changes) -> None:
    alone = trained(settings(dtype="float64", workers=1, **changes))
    shared = trained(settings(dtype="float64", workers=workers, **changes))
    for name, a in alone.model.params.to_host().items():
        np.testing.assert_allclose(
            shared.model.params.to_host()[name], a, rtol=1e-7, atol=1e-10, err_msg=name
        )


def test_a_clip_that_is_reached_changes_the_training() -> None:
    free = trained(settings(optimizer="sgd", lr=0.1))
    clipped = trained(settings(optimizer="sgd", lr=0.1, clip=0.01))
    assert numbers(free) != numbers(clipped)
