"""A check of the model in training: one direction, on copies, for the cost of two steps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.backend.noise import Purpose, Stream, generator
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.measure import gradient_error
from scratchvae.gradcheck.methods import COMPLEX_STEP
from scratchvae.gradcheck.report import Finding, Report
from scratchvae.gradcheck.subjects.model import require_derivative
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE

# What the training dtype can keep. Rounding alone was measured at up to 1e-6 in float32, for
# models of 784-400-400-2 and their like, new and trained. The rest of the room is for a ReLU whose
# input is within a rounding of zero and takes the other branch in complex128: one unit of one
# image. A wrong factor, sign or term in any parameter shows at 1e-2 and more.
TOLERANCES = {"float32": 1e-4, "float64": 1e-12}


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
        with self.precise.ignore_float_errors():
            self.twin.loss(beta)
        # Every image's objective, differentiated along v and weighted.
        terms = weight * np.imag(self.precise.to_host(self.twin.objective)) / COMPLEX_STEP
        scale = max(size, float(np.sum(np.abs(terms))))
        d = float(np.sum(terms))
        return self._report(slope, d, gradient_error(slope, d, scale))

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

    def _dot(self, a: Any, b: Any) -> float:
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
        dtype = self.bk.dtype.name
        limit = TOLERANCES[dtype]
        ok = error <= limit
        verdict = "right" if ok else "wrong: scratchvae gradcheck shows which operation"
        finding = Finding(
            "all parameters", (self.vae.layout.n_parameters,), error, limit, verdict, ok,
            None, slope, d,
        )  # fmt: skip
        note = f"{self.rows} images; slope {slope:.9g} by the {dtype} gradient, {d:.9g} expected"
        return Report("the live model", "complex", "one direction", 1, (finding,), (note,))


def verify_live(
    vae: VAE,
    params: FlatBuffer,
    x: NDArray,
    eps: NDArray,
    weight: float | None = None,
    seed: int = 0,
    number: int = 0,
    beta: float | None = None,
) -> Report:
    """One :class:`LiveCheck` of a model, on the backend that its parameters live on."""
    return LiveCheck(vae, params.bk, len(x))(params, x, eps, weight, seed, number, beta)


def _components(size: int, seed: int, number: int) -> NDArray[np.int8]:
    """Whole numbers ±64 … ±127, from a byte of the stream each: none is small beside another."""
    words: Any = generator(Stream(seed, Purpose.DIRECTION, number)).bit_generator
    raw = np.asarray(words.random_raw(-(-size // 8)), dtype="<u8").view(np.uint8)[:size]
    minus = raw.view(np.int8) >> 7  # 0 or −1
    whole = ((raw & 63) | 64).view(np.int8)
    whole ^= minus
    whole -= minus  # two's complement: −n = (n ^ −1) + 1
    return whole
