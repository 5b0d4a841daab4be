"""Layers in a row: shapes, buffers, and who may overwrite whose numbers."""

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import ConfigError
from scratchvae.latent import LogStdHead
from scratchvae.layers import Dense, ReLU, Sequential, Sigmoid, Tanh
from scratchvae.memory import FlatBuffer, Layout, Workspace

ROWS, INPUTS = 4, 5


def out_of_place(layer_type):
    """The same layer, forbidden to work in place."""
    return type(layer_type.__name__, (layer_type,), {"inplace": False})


# Layers, and how many buffers working in place saves.
STACKS = {
    "relu between": (lambda keep: (Dense(7), keep(ReLU)(), Dense(3)), 2),
    "tanh after tanh": (lambda keep: (Dense(7), keep(Tanh)(), keep(Tanh)(), Dense(3)), 3),
    "relu first": (lambda keep: (keep(ReLU)(), Dense(3)), 0),
    "sigmoid last": (lambda keep: (Dense(7), keep(Tanh)(), Dense(6), keep(Sigmoid)()), 4),
    "head last": (lambda keep: (Dense(7), keep(ReLU)(), Dense(6), keep(LogStdHead)()), 4),
    "head, tanh": (lambda keep: (Dense(6), keep(LogStdHead)(), keep(Tanh)(), keep(ReLU)()), 5),
    "two heads": (lambda keep: (keep(Tanh)(), Dense(6), keep(LogStdHead)(), keep(LogStdHead)()), 4),
}
each_stack = pytest.mark.parametrize(("stack", "saved"), STACKS.values(), ids=STACKS)


class Net:
    """A Sequential on fresh buffers, with parameters, an input and a cotangent of its own."""

    def __init__(self, layers, bk=None, per=1, wants_dx=True):
        self.bk = get_backend("cpu", "float64") if bk is None else bk
        self.net = Sequential(*layers)
        layout = Layout({f"f.{p.name}": p.shape for p in self.net.parameters((INPUTS,))})
        self.params, self.grads = FlatBuffer(self.bk, layout), FlatBuffer(self.bk, layout)
        for i, name in enumerate(layout.shapes):
            self.bk.load(self.draw(layout.shapes[name], 10 + i), self.params[name])
        self.workspace = Workspace(self.bk, ROWS)
        self.x = self.workspace.buffer("x", INPUTS, per=per)
        self.dx = self.workspace.buffer("dx", INPUTS, per=per) if wants_dx else None
        self.bound = self.net.bind(
            self.workspace, "f", self.x, self.dx, self.params, self.grads, per=per
        )
        self.bk.load(self.draw(self.x.shape, 1), self.x)

    @staticmethod
    def draw(shape, step):
        return normal(tuple(shape), Stream(3, Purpose.DIRECTION, step))

    def run(self):
        self.bound.forward()
        y = self.bk.to_host(self.bound.y)
        self.bk.load(self.draw(self.bound.dy.shape, 2), self.bound.dy)
        self.bound.backward()
        return y, self.grads.to_host(), None if self.dx is None else self.bk.to_host(self.dx)


def equal(first, second):
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1].keys() == second[1].keys()
    for name in first[1]:
        np.testing.assert_array_equal(first[1][name], second[1][name], err_msg=name)
    np.testing.assert_array_equal(first[2], second[2])


@each_stack
@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_working_in_place_changes_no_bit_of_outputs_or_gradients(stack, saved, device):
    bk = get_backend(device, "float64")
    fast, slow = Net(stack(lambda kind: kind), bk), Net(stack(out_of_place), bk)
    assert len(slow.workspace.names) - len(fast.workspace.names) == saved
    result = fast.run()
    assert np.isfinite(result[0]).all()
    assert np.isfinite(result[2]).all()
    equal(result, slow.run())


@each_stack
def test_the_input_survives_forward_and_backward_and_a_second_run_gives_the_same(stack, saved):
    net = Net(stack(lambda kind: kind))
    before = net.x.copy()
    first = net.run()
    np.testing.assert_array_equal(net.x, before)
    net.grads.flat[...] = np.nan  # gradients are assigned: what was there is gone
    equal(first, net.run())


def test_an_output_that_a_layer_reads_again_is_not_overwritten_by_the_next():
    net = Net((Tanh(), Tanh(), ReLU()))
    net.run()
    first, second, third = (slot.y for slot in net.bound.layers)
    np.testing.assert_array_equal(first, np.tanh(net.x))
    np.testing.assert_array_equal(second, np.tanh(first))
    np.testing.assert_array_equal(third, np.maximum(second, 0))
    assert not any(np.shares_memory(a, b) for a, b in [(first, second), (second, third)])


def test_an_activation_after_a_dense_layer_shares_its_output_and_its_cotangent():
    net = Net((Dense(7), ReLU(), Dense(3)))
    dense, relu, last = net.bound.layers
    assert relu.y is dense.y
    assert relu.dy is dense.dy
    assert last.x is relu.y
    assert not np.shares_memory(last.y, last.x)


def test_two_dense_layers_and_a_relu_backpropagate_as_worked_out_by_hand(cpu64):
    # x = (1 2), h = x W₀ + b₀ = (3 −1 0) + (0 0 1), r = (3 0 1): the second unit is off.
    # y = r W₂ + b₂ = 3·2 + 0·5 + 1·(−1) + 4 = 9. With dy = 10: dh = (20 0 −10).
    net = Sequential(Dense(3), ReLU(), Dense(1))
    layout = Layout({f"f.{p.name}": p.shape for p in net.parameters((2,))})
    params, grads, workspace = (
        FlatBuffer(cpu64, layout),
        FlatBuffer(cpu64, layout),
        Workspace(cpu64, 1),
    )
    params.load(
        {
            "f.0.W": np.array([[1.0, -1, 2], [1, 0, -1]]),
            "f.0.b": np.array([0.0, 0, 1]),
            "f.2.W": np.array([[2.0], [5], [-1]]),
            "f.2.b": np.array([4.0]),
        }
    )
    x, dx = workspace.buffer("x", 2), workspace.buffer("dx", 2)
    bound = net.bind(workspace, "f", x, dx, params, grads)
    x[...] = [[1, 2]]
    bound.forward()
    np.testing.assert_array_equal(bound.y, [[9]])
    bound.dy[...] = 10
    bound.backward()
    np.testing.assert_array_equal(grads["f.2.W"], [[30], [0], [10]])
    np.testing.assert_array_equal(grads["f.2.b"], [10])
    np.testing.assert_array_equal(grads["f.0.W"], [[20, 0, -10], [40, 0, -20]])
    np.testing.assert_array_equal(grads["f.0.b"], [20, 0, -10])
    np.testing.assert_array_equal(dx, [[0, 30]])  # 20 − 20, 20 + 10


def test_a_first_layer_whose_input_gradient_is_not_wanted_gives_the_same_parameter_gradients():
    layers, _ = STACKS["relu between"]
    with_dx, without = Net(layers(lambda k: k)), Net(layers(lambda k: k), wants_dx=False)
    expected, found = with_dx.run(), without.run()
    assert found[2] is None
    for name, value in expected[1].items():
        np.testing.assert_array_equal(found[1][name], value)


def test_several_rows_an_image_are_rows_like_any_other():
    layers = (Dense(7), Tanh(), Dense(3))
    net = Net(layers, per=2)
    y, _, dx = net.run()
    assert y.shape == (ROWS * 2, 3)
    assert dx.shape == (ROWS * 2, INPUTS)
    hidden = np.tanh(net.x @ net.params["f.0.W"] + net.params["f.0.b"])
    np.testing.assert_allclose(
        y, hidden @ net.params["f.2.W"] + net.params["f.2.b"], rtol=0, atol=1e-14
    )


def test_without_gradient_buffers_forward_runs_and_no_cotangent_exists(cpu64):
    full = Net((Dense(7), ReLU(), Dense(3)))
    workspace = Workspace(cpu64, ROWS)
    x = workspace.buffer("x", INPUTS)
    x[...] = full.x
    bound = full.net.bind(workspace, "f", x, None, full.params, None)
    bound.forward()
    np.testing.assert_array_equal(bound.y, full.run()[0])
    assert bound.dy is None
    assert workspace.names == ("x", "f.0.y", "f.2.y")


def test_shapes_and_parameter_names_follow_from_the_shape_of_a_row():
    net = Sequential(Dense(7), Tanh(), Dense(3))
    assert net.infer_shape((5,)) == (3,)
    assert net.shapes((5,)) == [(5,), (7,), (7,), (3,)]
    assert [(p.name, p.shape) for p in net.parameters((5,))] == [
        ("0.W", (5, 7)),
        ("0.b", (7,)),
        ("2.W", (7, 3)),
        ("2.b", (3,)),
    ]


def test_a_sequential_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least one layer"):
        Sequential()


@pytest.mark.parametrize(
    ("wrong", "remedy"), [(Tanh, "Tanh(…)"), ([Dense(3), Tanh()], "Sequential(*layers)")]
)
def test_a_class_or_a_list_instead_of_layers_is_refused_with_what_to_write(wrong, remedy):
    with pytest.raises(ConfigError) as caught:
        Sequential(wrong)
    assert str(caught.value).endswith(f": write {remedy}")


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"not of shape \(5, 2\)"):
        Sequential(Tanh(), Dense(3)).infer_shape((5, 2))
