"""A check of the model in training: one direction, on copies, for the cost of two steps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Array, Backend
from scratchvae.backend.noise import Purpose, Stream, generator
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.measure import gradient_error
from scratchvae.gradcheck.methods import COMPLEX_STEP, Curve, central, kink
from scratchvae.gradcheck.report import Finding, Outcome, Report
from scratchvae.gradcheck.subjects.model import require_derivative
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE, Model

# What the training dtype can keep. Rounding alone was measured at up to 1e-6 in float32, for
# models of 784-400-400-2 and their like, new and trained. The rest of the room is for a ReLU whose
# input is within a rounding of zero and takes the other branch in complex128: one unit of one
# image. A wrong factor, sign or term in any parameter shows at 1e-2 and more.
TOLERANCES = {"float32": 1e-4, "float64": 1e-12}

# A model that a complex step cannot pass (abs, a norm, a comparison of complex numbers) is checked
# by a central difference in float64, which agrees with a complex step to 1e-8 on the models above.
# The same tolerance decides that a complex step cannot be used.
DIFFERENCE_TOLERANCE = 1e-4
REACH = 2.0**-17  # how far the difference moves the parameter that it moves furthest


def live_rows(batch_size: int) -> int:
    """How many images of a batch to check with: a sixteenth, which keeps the cost low."""
    return max(1, batch_size // 16)


class LiveCheck:
    """A model and its complex twin on buffers of their own, bound once for a number of rows.

    Calling it costs a gradient of those rows in the training dtype and one forward pass in
    complex128: for a quarter of a batch, less than two training steps.
    """

    def __init__(self, vae: VAE, bk: Backend, rows: int) -> None:
        if bk.is_complex:
            raise ConfigError("a model that trains is real: float32 or float64")
        require_derivative(vae)
        if rows < 1:
            raise ConfigError(f"a live check needs at least one image, not {rows}")
        self.vae, self.bk, self.rows = vae, bk, rows
        self.params, self.grads = FlatBuffer(bk, vae.layout), FlatBuffer(bk, vae.layout)
        self.bound = vae.bind(Workspace(bk, rows), self.params, self.grads)
        self.precise = bk.with_dtype("complex128")
        self.moved = FlatBuffer(self.precise, vae.layout)
        self.twin = vae.bind(Workspace(self.precise, rows), self.moved)
        self.twin.x.fill(0)
        self.twin.eps.fill(0)
        self.u = FlatBuffer(bk, vae.layout)
        self.second_opinion_due = True  # at the first call, and where the complex step fails
        self.unsafe: str | None = None  # why the complex step cannot be used, once that is known

    def __call__(
        self,
        params: FlatBuffer,
        x: NDArray,
        eps: NDArray,
        weight: float | None = None,
        seed: int = 0,
        number: int = 0,
        beta: float | None = None,
    ) -> Report:
        """Check the gradient at ``params`` on host images x (rows, D) and noise ε (rows, K, Z).

        The gradient is computed by the code that trains, in its dtype, on copies; its slope along
        a seeded direction (``seed``, ``number``) is compared with a complex step (E28) of the
        same model. The direction is scaled so that every parameter's gradient counts alike.
        The first call, and any that fails, asks a central difference as well: a model that the
        complex step cannot pass is checked by differences from then on, and the report says so.
        ``beta`` is that of the step, the model's own unless given.
        """
        self._check_shapes(x, eps)
        weight = 1.0 / self.rows if weight is None else float(weight)
        for name, value in (("weight", weight), ("beta", self.vae.beta if beta is None else beta)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"the {name} of a step is a number, not negative: {value}")
        self.params.flat[...] = params.flat
        self.bk.load(x, self.bound.x)
        self.bk.load(eps, self.bound.eps)
        with self.bk.ignore_float_errors():
            self.bound.loss_and_gradient(weight, beta)
        slope, size = self._aim(seed, number)
        terms = weight * self._complex_step(beta)
        d, scale = float(np.sum(terms)), max(size, float(np.sum(np.abs(terms))))
        error = gradient_error(slope, d, scale)
        doubtful = self.second_opinion_due or not error <= TOLERANCES[self.bk.dtype.name]
        if doubtful or self.unsafe is not None:
            phi, h, resolution = self._objective_along_v(weight, beta)
            other = float(central(phi, h))
            far = gradient_error(d, other, max(scale, resolution)) > DIFFERENCE_TOLERANCE
            # A difference says nothing at a kink: of ReLUs at 0, such as those of a blank image.
            if self.unsafe is None and far and kink(phi, h) is None:
                self.unsafe = f"it gives {d:.6g} where a central difference gives {other:.6g}"
            if self.unsafe is not None:
                d, error = other, gradient_error(slope, other, max(size, resolution))
            self.second_opinion_due = False
        return self._report(slope, d, error)

    def _complex_step(self, beta: float | None) -> NDArray:
        """The derivative of every image's objective along v  (E28); NaN where that is refused."""
        try:
            with self.precise.ignore_float_errors():
                self.twin.loss(beta)
        except Exception as error:  # whatever a foreign layer does with complex numbers
            self.unsafe = f"it refuses complex numbers ({type(error).__name__}: {error})"
            return np.full(self.rows, np.nan)
        return np.asarray(np.imag(self.precise.to_host(self.twin.objective))) / COMPLEX_STEP

    def _objective_along_v(self, weight: float, beta: float | None) -> tuple[Curve, float, float]:
        """The weighted objective at p + tv in float64, a step h for it, and what h resolves."""
        bk, there = self.bk.with_dtype("float64"), self.precise.to_host(self.moved.flat)
        params = FlatBuffer(bk, self.vae.layout)
        bound = self.vae.bind(Workspace(bk, self.rows), params)
        bk.load(self.bk.to_host(self.bound.x), bound.x)
        bk.load(self.bk.to_host(self.bound.eps), bound.eps)
        p, v = there.real, there.imag / COMPLEX_STEP
        h = REACH / max(float(np.max(np.abs(v))), 1e-300)

        def phi(t: complex) -> NDArray:
            bk.load(p + t * v, params.flat)
            with bk.ignore_float_errors():
                bound.loss(beta)
            return np.asarray(weight * np.sum(bk.to_host(bound.objective)))

        rounding = float(np.finfo(np.float64).eps * np.abs(phi(0.0)) / h)
        return phi, h, rounding / DIFFERENCE_TOLERANCE

    def _aim(self, seed: int, number: int) -> tuple[float, float]:
        """Put the twin at p + ih v; answer with ⟨g, v⟩ and ‖g‖ ‖v‖ / √n.

        Both are taken in units in which every parameter's gradient has norm 1: with p = c q,
        ∂/∂q = c ∂/∂p, so that a bias counts as much as a large matrix. An array whose gradient is
        zero gets the median c, so that a gradient that is missing shows.
        """
        self.bk.load(_components(self.vae.layout.padded_size, seed, number), self.u.flat)
        names = list(self.vae.layout.shapes)
        flat = {n: (self.grads[n].reshape(-1), self.u[n].reshape(-1)) for n in names}
        inner = {n: [self._dot(a, b) for a, b in ((g, g), (g, u))] for n, (g, u) in flat.items()}
        norms = {n: products[0] ** 0.5 for n, products in inner.items()}
        known = [a for a in norms.values() if 0 < a < float("inf")]
        usual = float(np.median(known)) if known else 1.0
        c = {n: 1.0 / (a if 0 < a < float("inf") else usual) for n, a in norms.items()}
        self.twin.x.real[...], self.twin.eps.real[...] = self.bound.x, self.bound.eps
        for n in names:
            self.moved[n].real[...] = self.params[n]
            self.precise.xp.multiply(
                self.u[n], COMPLEX_STEP * c[n], out=self.moved[n].imag, dtype="float64"
            )
        g_norm = sum((c[n] * norms[n]) ** 2 for n in names) ** 0.5
        # The padding between the arrays has components too, but no gradient: it is in neither sum.
        u_size = (self._dot(self.u.flat, self.u.flat) / self.vae.layout.padded_size) ** 0.5
        return sum(c[n] * inner[n][1] for n in names), g_norm * u_size

    def _dot(self, a: Array, b: Array) -> float:
        return float(self.bk.xp.dot(a, b))

    def _check_shapes(self, x: NDArray, eps: NDArray) -> None:
        vae = self.vae
        for name, a, shape in (
            ("x", x, (self.rows, vae.pixels)),
            ("eps", eps, (self.rows, vae.samples, vae.latent_dim)),
        ):
            if tuple(a.shape) != shape:
                raise ConfigError(f"{name} has shape {a.shape}, expected {shape}")

    def _report(self, slope: float, d: float, error: float) -> Report:
        dtype, method = self.bk.dtype.name, "complex"
        limit, notes = TOLERANCES[dtype], []
        if self.unsafe is not None:
            method, limit = "central", DIFFERENCE_TOLERANCE
            notes = [f"not complex-safe: {self.unsafe}; checked by central, tolerance {limit:g}"]
        outcome = Outcome.RIGHT if error <= limit else Outcome.WRONG
        verdict = "right"
        if outcome is Outcome.WRONG:
            verdict = "wrong: scratchvae gradcheck shows which operation"
        finding = Finding(
            "all parameters", (self.vae.layout.n_parameters,), error, limit, outcome, verdict,
            None, slope, d,
        )  # fmt: skip
        note = f"{self.rows} images; slope {slope:.9g} by the {dtype} gradient, {d:.9g} expected"
        return Report("the live model", method, "one direction", 1, (finding,), (note, *notes))


def verify_live(
    model: Model,
    x: NDArray,
    eps: NDArray,
    weight: float | None = None,
    seed: int = 0,
    number: int = 0,
    beta: float | None = None,
) -> Report:
    """One :class:`LiveCheck` of a model, on its own backend."""
    check = LiveCheck(model.vae, model.bk, len(x))
    return check(model.params, x, eps, weight, seed, number, beta)


def _components(size: int, seed: int, number: int) -> NDArray[np.int8]:
    """Whole numbers ±64 … ±127, from a byte of the stream each: none is small beside another."""
    words: Any = generator(Stream(seed, Purpose.DIRECTION, number)).bit_generator
    raw = np.asarray(words.random_raw(-(-size // 8)), dtype="<u8").view(np.uint8)[:size]
    minus = raw.view(np.int8) >> 7  # 0 or −1
    whole = ((raw & 63) | 64).view(np.int8)
    whole ^= minus
    whole -= minus  # two's complement: −n = (n ^ −1) + 1
    return whole
