"""The activations: sigmoid, tanh and ReLU, each with the derivative from its own output.

What is marked ``fusible`` a backend may compute in a faster form; a test holds the two equal.
"""

from scratchvae.backend import Array, Backend, fusible
from scratchvae.layers.base import Layer
from scratchvae.memory import Views


class Elementwise(Layer):
    """An activation without parameters, whose derivative is computed from its output alone."""

    inplace = True
    grad_input_reads_y = True
    scratch_like = "y"


@fusible("tanh")
def tanh(bk: Backend, x: Array, y: Array) -> None:
    """y = tanh x  (E8). ``y`` may be ``x``."""
    bk.xp.tanh(x, out=y)


def sigmoid(bk: Backend, x: Array, y: Array) -> None:
    """y = 1 / (1 + e⁻ˣ) = ½ tanh(½ x) + ½  (E6).

    The form with tanh cannot overflow and needs no case distinction; ``y`` may be ``x``. Its
    absolute error is a few ulp of 1: in float64 hardly a digit is left for x below −30.
    """
    bk.xp.multiply(x, 0.5, out=y)
    bk.compute(tanh, y, y)
    y *= 0.5
    y += 0.5


class Sigmoid(Elementwise):
    """y = 1 / (1 + e⁻ˣ), element by element."""

    torch_class = "Sigmoid"

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y = 1 / (1 + e⁻ˣ)  (E6)."""
        sigmoid(bk, x, y)

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy · y (1 − y)  (E7). In the tails, |x| > 9 in float64, 1 − y has few digits."""
        bk.xp.subtract(1.0, y, out=tmp)
        tmp *= y
        bk.xp.multiply(dy, tmp, out=dx)


@fusible("tanh grad")
def tanh_grad(bk: Backend, y: Array, dy: Array, dx: Array, tmp: Array) -> None:
    """dx = dy (1 − y) (1 + y): y² would be rounded before it is subtracted  (E9)."""
    bk.xp.subtract(1.0, y, out=tmp)
    bk.xp.multiply(dy, tmp, out=dx)
    bk.xp.add(y, 1.0, out=tmp)
    dx *= tmp


class Tanh(Elementwise):
    """y = tanh x, element by element."""

    torch_class = "Tanh"

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y = tanh x  (E8)."""
        bk.compute(tanh, x, y)

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy · (1 − y²)  (E9). In the tails, |x| > 5 in float64, 1 − y² has few digits."""
        bk.compute(tanh_grad, y, dy, dx, tmp)


@fusible("relu")
def relu(bk: Backend, x: Array, y: Array) -> None:
    """y = x where Re x > 0, else 0 (NaN stays NaN)  (E10). ``y`` may be ``x``."""
    y[...] = bk.xp.where(x.real <= 0, 0, x)


@fusible("relu grad")
def relu_grad(bk: Backend, y: Array, dy: Array, dx: Array, tmp: Array) -> None:
    """dx = dy where Re y > 0, else 0  (E11). ``dx`` may be ``dy``; ``tmp`` has their shape."""
    dx[...] = bk.xp.where(y.real > 0, dy, 0)


class ReLU(Elementwise):
    """y = x where x is positive, else 0. Its derivative at 0 is taken as 0."""

    torch_class = "ReLU"

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y = max(x, 0)  (E10)."""
        bk.compute(relu, x, y)

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy where y > 0, else 0  (E11)."""
        bk.compute(relu_grad, y, dy, dx, tmp)
