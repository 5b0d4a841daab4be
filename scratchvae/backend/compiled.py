"""Loops that numba compiles: the CPU's operations with one pass over memory each.

A loop states its equation for one number at a time. The machine code computes in the order that is
written, without fast math, so that an update rule has the very bits of its form in NumPy. The one
exception is a sum over a row, whose terms the compiler may add up in any order. Polynomials stand
for exp, log, sin and cos, because a loop that calls the C library cannot be vectorized.

This is the one module that imports numba: ``get_backend(compiled=True)`` imports it where numba is
installed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from math import sqrt
from typing import Any, ClassVar

import numba
import numpy as np

from scratchvae.backend import cpu_elementwise, cpu_updates
from scratchvae.backend.base import (
    FLUSH_EVERY,
    Array,
    Backend,
    Note,
    Number,
    Rule,
    below_one,
    ignore,
)
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.backend.noise import Stream, fill_uniform
from scratchvae.types import Function

LOOPS: list[Any] = []


def loop(function: Function) -> Any:
    """``function``, compiled for the types of its first call, and kept on disk if possible."""
    try:
        compiled = numba.njit(function, error_model="numpy", cache=True)
    except RuntimeError:  # no folder for it can be written to
        compiled = numba.njit(function, error_model="numpy")
    LOOPS.append(compiled)
    return compiled


inline = numba.njit(error_model="numpy", inline="always")
any_order = numba.njit(error_model="numpy", fastmath={"reassoc"})


# ---- the optimizers' updates -----------------------------------------------------------------


@loop
def adam_loop(p, g, m, v, beta1, beta2, eps, rate):  # type: ignore[no-untyped-def]
    """E24."""
    for i in range(p.size):
        m[i] = m[i] * beta1 + g[i]
        v[i] = v[i] * beta2 + g[i] * g[i]
        p[i] -= m[i] / (sqrt(v[i]) + eps) * rate


@loop
def rmsprop_loop(p, g, r, rho, inside, outside, rate):  # type: ignore[no-untyped-def]
    """E41; of the two ε, the one beside the root or the one inside it is 0."""
    for i in range(p.size):
        r[i] = r[i] * rho + g[i] * g[i]
        p[i] -= g[i] / (sqrt(r[i] + inside) + outside) * rate


@loop
def sgd_loop(p, g, rate):  # type: ignore[no-untyped-def]
    """E42 without momentum."""
    for i in range(p.size):
        p[i] -= g[i] * rate


@loop
def momentum_loop(p, g, v, momentum, rate):  # type: ignore[no-untyped-def]
    """E42."""
    for i in range(p.size):
        v[i] = v[i] * momentum + g[i]
        p[i] -= v[i] * rate


@loop
def nesterov_loop(p, g, v, momentum, rate):  # type: ignore[no-untyped-def]
    """E42 in Nesterov's form."""
    for i in range(p.size):
        v[i] = v[i] * momentum + g[i]
        p[i] -= (v[i] * momentum + g[i]) * rate


@loop
def adagrad_loop(p, g, s, eps, rate):  # type: ignore[no-untyped-def]
    """E43."""
    for i in range(p.size):
        s[i] += g[i] * g[i]
        p[i] -= g[i] / (sqrt(s[i]) + eps) * rate


def adam(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of Adam  (E24)."""
    if t % FLUSH_EVERY == 0:  # the one step in 128 that flushes takes its time
        return cpu_updates.adam(rule, bk, p, g, buffers, lr, t)
    m, v, _ = buffers
    eps, rate = cpu_updates.adam_numbers(rule, lr, t)
    adam_loop(p, g, m, v, *_typed(bk, rule.beta1, rule.beta2, eps, rate))


def rmsprop(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of RMSprop  (E41)."""
    if t % FLUSH_EVERY == 0:
        return cpu_updates.rmsprop(rule, bk, p, g, buffers, lr, t)
    r, _ = buffers
    eps, rate = cpu_updates.rmsprop_numbers(rule, lr)
    inside, outside = (eps, 0.0) if rule.eps_inside else (0.0, eps)
    rmsprop_loop(p, g, r, *_typed(bk, rule.rho, inside, outside, rate))


def sgd(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of gradient descent, with momentum or without  (E42)."""
    if t % FLUSH_EVERY == 0:
        return cpu_updates.sgd(rule, bk, p, g, buffers, lr, t)
    *velocity, _ = buffers
    momentum, rate = _typed(bk, rule.momentum, lr)
    if not velocity:
        sgd_loop(p, g, rate)
    elif rule.nesterov:
        nesterov_loop(p, g, *velocity, momentum, rate)
    else:
        momentum_loop(p, g, *velocity, momentum, rate)


def adagrad(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of Adagrad  (E43)."""
    s, _ = buffers
    adagrad_loop(p, g, s, *_typed(bk, rule.eps, lr))


def _typed(bk: Backend, *numbers: float) -> list[np.floating]:
    """Numbers of the backend's own type: of another, they would change that of a loop."""
    return [bk.dtype.type(number) for number in numbers]


# ---- functions, for float32 ------------------------------------------------------------------

ZERO, HALF, ONE, LN2 = np.float32(0), np.float32(0.5), np.float32(1), np.float32(0.6931472)
PER_LN2, ROUND = np.float32(1.442695), np.float32(1.5 * 2**23)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.1219444e-4)
SMALLEST = np.float32(-87)  # whose exponential is a normal number
# e^r = 1 + r + r² p(r) for |r| ≤ ½ ln 2, to an ulp (Cephes)
E0, E1, E2, E3, E4, E5 = map(
    np.float32,
    (1.9875692e-4, 1.3981999e-3, 8.3334519e-3, 4.1665796e-2, 1.6666665e-1, 5.0000001e-1),
)


@inline
def exp_of_negative(x):  # type: ignore[no-untyped-def]
    """eˣ for float32 x ≤ 0 to two ulp, e⁻⁸⁷ = 1.6e-38 below −87; NaN stays NaN.

    With n the whole number next to x / ln 2 and r = x − n ln 2: eˣ = 2ⁿ eʳ.
    """
    x = SMALLEST if x < SMALLEST else x
    n = x * PER_LN2 + ROUND - ROUND
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = ((((E0 * r + E1) * r + E2) * r + E3) * r + E4) * r + E5
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2ⁿ
    return (p * r * r + r + ONE) * power


# ---- ReLU, tanh and the Bernoulli ------------------------------------------------------------


@loop
def relu_grad_loop(y, dy, dx):  # type: ignore[no-untyped-def]
    """E11."""
    for i in range(y.size):
        dx[i] = dy[i] if y[i] > ZERO else ZERO


@loop
def tanh_grad_loop(y, dy, dx):  # type: ignore[no-untyped-def]
    """E9."""
    for i in range(y.size):
        dx[i] = dy[i] * (ONE - y[i]) * (ONE + y[i])


@any_order
def nll_of_row(a, x, one_plus_e):  # type: ignore[no-untyped-def]
    """Σ max(a, 0) + log(1 + e) − x a, with one logarithm for the product of 64 factors."""
    total = ZERO
    for j in range(a.size):
        total += (a[j] if a[j] > ZERO else ZERO) - x[j] * a[j]
    logs = 0.0
    for start in range(0, a.size, 64):
        product = ONE
        for j in range(start, min(start + 64, a.size)):
            product *= one_plus_e[j]
        logs += np.log(product)
    return total + logs


@loop
def bernoulli_loop(a, x, samples, nll, one_plus_e):  # type: ignore[no-untyped-def]
    """E18 of rows (B · K, D), ``samples`` of which share a row of pixels."""
    for row in range(a.shape[0]):
        logits, pixels = a[row], x[row // samples]
        for j in range(logits.size):
            one_plus_e[j] = ONE + exp_of_negative(-abs(logits[j]))
        nll[row] = nll_of_row(logits, pixels, one_plus_e)


@loop
def bernoulli_grad_loop(a, x, samples, nll, da, one_plus_e):  # type: ignore[no-untyped-def]
    """E18 and E19: with e = e^−|a|, the mean is 1 / (1 + e) for positive a, else e / (1 + e)."""
    for row in range(a.shape[0]):
        logits, pixels = a[row], x[row // samples]
        for j in range(logits.size):
            e = exp_of_negative(-abs(logits[j]))
            one_plus_e[j] = ONE + e
            da[row, j] = (ONE if logits[j] > ZERO else e) / one_plus_e[j] - pixels[j]
        nll[row] = nll_of_row(logits, pixels, one_plus_e)


def relu_grad(bk: Backend, y: Array, dy: Array, dx: Array, tmp: Array) -> None:
    """dx = dy where y > 0, else 0  (E11)."""
    if not _rows_of_float32(y, dy, dx):
        return cpu_elementwise.relu_grad(bk, y, dy, dx, tmp)
    relu_grad_loop(y.reshape(-1), dy.reshape(-1), dx.reshape(-1))


def tanh_grad(bk: Backend, y: Array, dy: Array, dx: Array, tmp: Array) -> Any:
    """dx = dy (1 − y) (1 + y)  (E9)."""
    if not _rows_of_float32(y, dy, dx):
        return NotImplemented
    tanh_grad_loop(y.reshape(-1), dy.reshape(-1), dx.reshape(-1))


def bernoulli_nll(bk: Backend, a: Array, x: Array, nll: Array, tmp: Array, tmp2: Array) -> None:
    """nll = Σ_d log(1 + eᵃ) − x a  (E18)."""
    if not (_rows_of_float32(a, x, nll, tmp) and _an_image_for_its_samples(a, x)):
        return cpu_elementwise.bernoulli_nll(bk, a, x, nll, tmp, tmp2)
    samples, pixels = a.shape[1:]
    rows = a.reshape(-1, pixels), x.reshape(-1, pixels)
    bernoulli_loop(*rows, samples, nll.reshape(-1), tmp.reshape(-1)[:pixels])


def bernoulli_nll_and_grad(
    bk: Backend, a: Array, x: Array, nll: Array, da: Array, tmp: Array, tmp2: Array
) -> None:
    """nll = Σ_d log(1 + eᵃ) − x a; da = sigmoid(a) − x  (E18, E19)."""
    if not (_rows_of_float32(a, x, nll, da, tmp) and _an_image_for_its_samples(a, x)):
        return cpu_elementwise.bernoulli_nll_and_grad(bk, a, x, nll, da, tmp, tmp2)
    samples, pixels = a.shape[1:]
    rows = a.reshape(-1, pixels), x.reshape(-1, pixels)
    buffers = nll.reshape(-1), da.reshape(-1, pixels), tmp.reshape(-1)[:pixels]
    bernoulli_grad_loop(*rows, samples, *buffers)


def _rows_of_float32(*arrays: Array) -> bool:
    """Whether the loops can go over these arrays; NumPy's forms take any others."""
    return all(a.dtype == np.float32 and a.flags.c_contiguous for a in arrays)


def _an_image_for_its_samples(a: Array, x: Array) -> bool:
    return a.ndim == 3 and x.shape == (a.shape[0], 1, a.shape[2])


# ---- batches and noise, in float64 -----------------------------------------------------------

TWO_PI, SQRT_HALF = 2 * np.pi, np.int64(0x3FE6A09E667F3BCD)  # the bits of √½
# ln 2 in two parts, and log(1 + f) = f − ½ f² + s (½ f² + p(s²)) with s = f / (2 + f) (FreeBSD)
LN2_HEAD, LN2_TAIL = 6.93147180369123816490e-01, 1.90821492927058770002e-10
L1, L2, L3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
L4, L5, L6 = 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01
L7 = 1.479819860511658591e-01
# sin r = r + r³ s(r²) and cos r = 1 − ½ r² + r⁴ c(r²) for |r| ≤ π / 4 (FreeBSD)
S1, S2, S3 = -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04
S4, S5, S6 = 2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10
C1, C2, C3 = 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05
C4, C5, C6 = -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11


@inline
def log_of_unit(w):  # type: ignore[no-untyped-def]
    """log w for float64 w in (0, 1], to an ulp: w = 2ᵏ (1 + f) with 1 + f from √½ to √2."""
    bits = np.float64(w).view(np.int64)
    k = (bits - SQRT_HALF) >> np.int64(52)
    f = np.int64(bits - (k << np.int64(52))).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = z * (L1 + z * (L2 + z * (L3 + z * (L4 + z * (L5 + z * (L6 + z * L7))))))
    square = 0.5 * f * f
    return k * LN2_HEAD - ((square - (s * (square + p) + k * LN2_TAIL)) - f)


@inline
def box_muller(u1, u2):  # type: ignore[no-untyped-def]
    """Two normal numbers of two uniforms  (E26). The angle is n quarter turns and a rest r."""
    n = np.int64(4.0 * u2 + 0.5)
    r = (u2 - 0.25 * n) * TWO_PI
    z = r * r
    s = r + r * z * (S1 + z * (S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)))))
    c = 1.0 - (0.5 * z - z * z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * C6))))))
    cosine, sine = (s, c) if n & 1 else (c, s)  # up to their signs
    radius = sqrt(-2.0 * log_of_unit(1.0 - u1))
    return radius * (-cosine if (n + 1) & 2 else cosine), radius * (-sine if n & 2 else sine)


@loop
def normal_loop(u, out):  # type: ignore[no-untyped-def]
    """E26: the numbers 2k and 2k + 1 of u give those of out."""
    for k in range(out.size // 2):
        out[2 * k], out[2 * k + 1] = box_muller(u[2 * k], u[2 * k + 1])
    if out.size % 2:
        out[-1], _ = box_muller(u[out.size - 1], u[out.size])


@loop
def gather_loop(images, index, most, out):  # type: ignore[no-untyped-def]
    """out = images[index] / most."""
    for row in range(index.size):
        image = images[index[row]]
        for j in range(image.size):
            out[row, j] = out.dtype.type(image[j]) / most


@loop
def binarize_loop(x, u, largest):  # type: ignore[no-untyped-def]
    """E33: x = 1 where u < x, else 0, with u rounded to the type of x."""
    for i in range(x.size):
        draw = x.dtype.type(min(u[i], largest))
        x[i] = ONE if draw < x[i] else ZERO


def compilations() -> int:
    """How many machine codes were compiled in this process, and not found on disk."""
    return sum(sum(each.stats.cache_misses.values()) for each in LOOPS)


class CompiledBackend(NumpyBackend):
    """NumPy, with compiled loops for what takes several passes over memory there."""

    compiled = True
    fused_forms: ClassVar = NumpyBackend.fused_forms | {
        "adam": adam,
        "rmsprop": rmsprop,
        "sgd": sgd,
        "adagrad": adagrad,
        "relu grad": relu_grad,
        "tanh grad": tanh_grad,
        "bernoulli nll": bernoulli_nll,
        "bernoulli nll and grad": bernoulli_nll_and_grad,
    }

    def compile(self, note: Note = ignore) -> None:
        """Compile all loops for this float type, unless the first of them is found on disk.

        Those on disk are loaded when they are first called.
        """
        begun, before = time.perf_counter(), compilations()
        first, *others = self._first_calls()
        first()
        if compilations() == before:
            return
        note("numba compiles the loops for this processor, once: about ten seconds")
        for first_call in others:
            first_call()
        note(f"the loops are compiled, in {time.perf_counter() - begun:.0f} s")

    def _first_calls(self) -> Iterator[Callable[[], object]]:
        """Calls that use every loop, on arrays of a few numbers."""
        kind, one = self.dtype.type, self.dtype.type(1)
        p, g, m, v = (np.zeros(4, kind) for _ in range(4))
        yield lambda: adam_loop(p, g, m, v, one, one, one, one)
        yield lambda: rmsprop_loop(p, g, m, one, one, one, one)
        yield lambda: sgd_loop(p, g, one)
        yield lambda: momentum_loop(p, g, m, one, one)
        yield lambda: nesterov_loop(p, g, m, one, one)
        yield lambda: adagrad_loop(p, g, m, one, one)
        yield lambda: normal_loop(np.zeros(4), p)
        yield lambda: gather_loop(
            np.zeros((2, 4), np.uint8), np.zeros(1, np.int64), one, p.reshape(1, 4)
        )
        yield lambda: binarize_loop(p, np.zeros(4), below_one(self.dtype))
        if kind is np.float32:
            rows = p.reshape(1, 4), g.reshape(1, 4)
            yield lambda: relu_grad_loop(p, g, m)
            yield lambda: tanh_grad_loop(p, g, m)
            yield lambda: bernoulli_loop(*rows, 1, m[:1], v)
            yield lambda: bernoulli_grad_loop(*rows, 1, m[:1], m.reshape(1, 4), v)

    def gather(
        self, images: Array, index: Array, max_level: int | None, out: Array, raw: Array
    ) -> None:
        if max_level is None or images.dtype != np.uint8:
            super().gather(images, index, max_level, out, raw)
        else:
            gather_loop(images, index, self.dtype.type(max_level), out)

    def normal(self, out: Array, stream: Stream, scratch: Array) -> None:
        u = scratch[: out.size + out.size % 2]
        fill_uniform(u, stream)
        normal_loop(u, out.reshape(-1))

    def binarize(self, x: Array, stream: Stream, draw: Array, scratch: Array) -> None:
        u = scratch[: x.size]
        fill_uniform(u, stream)
        binarize_loop(x.reshape(-1), u, below_one(self.dtype))

    def describe(self) -> dict[str, str]:
        return super().describe() | {"numba": numba.__version__}
