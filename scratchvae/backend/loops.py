"""The CPU's operations as loops that numba compiles, one pass over memory each.

A loop states its equation for one number at a time: the form of an operation that is easiest to
read. The machine code computes in the order that is written, without fast math, so that an update
rule has the very bits of its form in NumPy. The one exception is a sum over a row, whose terms the
compiler may add up in any order. Polynomials stand for exp, tanh, log, sin and cos, because a loop
that calls the C library cannot be vectorized.

``NUMBA_DISABLE_JIT=1`` leaves them plain Python, for a debugger. This is the one module that
imports numba. All loops are in it, because numba keeps a loop's machine code until the loop's own
file changes, whatever becomes of a function of another file that it calls.
"""

from math import exp, expm1, log, log1p, sqrt, tanh
from typing import Any, NamedTuple

import numba
import numpy as np

from scratchvae.types import Function

LOOPS: list[Any] = []


def loop(function: Function) -> Any:
    """``function``, compiled for the types of its first call, and kept on disk if possible."""
    try:
        compiled = numba.njit(function, error_model="numpy", nogil=True, cache=True)
    except RuntimeError:  # no folder for it can be written to
        compiled = numba.njit(function, error_model="numpy", nogil=True)
    if compiled is not function:  # it is where numba is told to compile nothing
        LOOPS.append(compiled)
    return compiled


inline = numba.njit(error_model="numpy", inline="always")
any_order = numba.njit(error_model="numpy", fastmath={"reassoc"})


# ---- the optimizers' updates -----------------------------------------------------------------


class AdamNumbers(NamedTuple):
    """The numbers of one step of Adam, of the arrays' own type: ε beside √v, and the rate."""

    beta1: np.floating
    beta2: np.floating
    eps: np.floating
    rate: np.floating


@loop
def adam_loop(p, g, m, v, numbers):  # type: ignore[no-untyped-def]
    """E24."""
    beta1, beta2, eps, rate = numbers
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


# tanh a = a + a s t(s) with s = a² for |a| ≤ 0.625, to an ulp (Cephes)
T0, T1, T2, T3, T4 = map(
    np.float32,
    (-5.7049887e-3, 2.0639089e-2, -5.3739716e-2, 1.3331442e-1, -3.3333282e-1),
)
NEAR_ZERO, TWO = np.float32(0.625), np.float32(2)


# ---- ReLU, tanh and the Bernoulli ------------------------------------------------------------


# A loop that may be asked to write where it reads has one array for both: of two that overlap, the
# machine code takes one number at a time.


@loop
def tanh_loop(y):  # type: ignore[no-untyped-def]
    """E8: (1 − e) / (1 + e) with e = e^−2|x|, and a polynomial where 1 − e would lose digits."""
    for i in range(y.size):
        a = abs(y[i])
        e = exp_of_negative(-TWO * a)
        far = (ONE - e) / (ONE + e)
        s = a * a
        near = a + a * s * ((((T0 * s + T1) * s + T2) * s + T3) * s + T4)
        y[i] = np.copysign(near if a < NEAR_ZERO else far, y[i])


@loop
def relu_grad_loop(y, d):  # type: ignore[no-untyped-def]
    """E11: d is dy before, and dx after."""
    for i in range(y.size):
        d[i] = d[i] if y[i] > ZERO else ZERO


@loop
def tanh_grad_loop(y, d):  # type: ignore[no-untyped-def]
    """E9: d is dy before, and dx after."""
    for i in range(y.size):
        d[i] = d[i] * (ONE - y[i]) * (ONE + y[i])


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


# ---- q(z|x), its divergence from the prior, and what comes back, in any float type -----------


@loop
def kl_loop(head, std, out):  # type: ignore[no-untyped-def]
    """E16."""
    images, latent = std.shape
    for i in range(images):
        for j in range(latent):
            mu, logvar = head[i, j], head[i, latent + j]
            out[i, j] = (mu * mu + std[i, j] * std[i, j] - logvar - ONE) * HALF


@loop
def kl_grad_loop(head, std, weight, dhead):  # type: ignore[no-untyped-def]
    """E17."""
    images, latent = std.shape
    for i in range(images):
        for j in range(latent):
            dhead[i, j] += head[i, j] * weight
            dhead[i, latent + j] += (std[i, j] * std[i, j] - ONE) * HALF * weight


@loop
def monte_carlo_kl_loop(head, z, eps, out, per_sample):  # type: ignore[no-untyped-def]
    """E45, averaged over the samples."""
    images, samples, latent = z.shape
    for i in range(images):
        for j in range(latent):
            out[i, j] = ZERO
        for k in range(samples):
            for j in range(latent):
                out[i, j] += z[i, k, j] * z[i, k, j] - eps[i, k, j] * eps[i, k, j]
        for j in range(latent):
            out[i, j] = (out[i, j] * per_sample - head[i, latent + j]) * HALF


@any_order
def difference_of_squares(z, eps):  # type: ignore[no-untyped-def]
    """Σ z² − ε² over the units of a sample."""
    total = ZERO
    for j in range(z.size):
        total += z[j] * z[j] - eps[j] * eps[j]
    return total


@loop
def log_ratio_loop(head, z, eps, out):  # type: ignore[no-untyped-def]
    """E45, summed over the units."""
    images, samples, latent = z.shape
    for i in range(images):
        logvar = ZERO
        for j in range(latent):
            logvar += head[i, latent + j]
        for k in range(samples):
            out[i, k] = (difference_of_squares(z[i, k], eps[i, k]) - logvar) * HALF


@loop
def reparameterize_grad_loop(std, eps, dz, dhead):  # type: ignore[no-untyped-def]
    """E13."""
    images, samples, latent = dz.shape
    for i in range(images):
        dmu, dlogvar = dhead[i, :latent], dhead[i, latent:]
        for j in range(latent):
            dmu[j], dlogvar[j] = ZERO, ZERO
        for k in range(samples):
            for j in range(latent):
                dmu[j] += dz[i, k, j]
                dlogvar[j] += dz[i, k, j] * eps[i, k, j]
        for j in range(latent):
            dlogvar[j] *= HALF * std[i, j]


# ---- flows, in any float type ----------------------------------------------------------------

# A number that is computed once for a map is float64, whatever the arrays are: log1p and expm1 of
# it lose nothing that the arrays keep.
E = np.e
TINY = 1e-30  # keeps a quotient finite whose numerator vanishes with its denominator


@inline
def of_sample(weights, n):  # type: ignore[no-untyped-def]
    """The weight of sample n: the same for all where there is one."""
    return weights[min(n, weights.size - 1)]


@any_order
def two_products(d, u, w):  # type: ignore[no-untyped-def]
    """dᵀu and dᵀw."""
    along_u, along_w = ZERO, ZERO
    for j in range(d.size):
        along_u += d[j] * u[j]
        along_w += d[j] * w[j]
    return along_u, along_w


@any_order
def inner_product(w, z):  # type: ignore[no-untyped-def]
    """wᵀz."""
    total = ZERO
    for j in range(w.size):
        total += w[j] * z[j]
    return total


@inline
def constrained(s):  # type: ignore[no-untyped-def]
    """q = log(1 + (e − 1) eˢ), and q − 1 − s, without a difference of large numbers  (E205)."""
    e, e_less_1 = exp(-abs(s)), expm1(-abs(s))
    if s > 0:
        return s + log1p(E - 2 + e), log1p(e_less_1 / E)
    return log1p((E - 1) * e), log1p((1 - 1 / E) * e_less_1) - s


class PlanarFactors(NamedTuple):
    """What planar maps compute on the way to z, and their gradients read again.

    t = tanh(wᵀz + b) of each sample and map, (B, K, L); of each image and map, (B, L):
    q = 1 + wᵀû, the shift of û = u + shift w, and square = ‖w‖².
    """

    t: np.ndarray
    q: np.ndarray
    shift: np.ndarray
    square: np.ndarray


@loop
def planar_loop(output, first, inner, z, factors, log_det):  # type: ignore[no-untyped-def]
    """E205 and E206: in ``output`` each image has [L u | w | b] of every map from ``first`` on."""
    t, q, shift, square = factors
    images, samples, length, latent = inner.shape
    kind = output.dtype.type
    part = kind(1.0 / length)
    for i in range(images):
        for k in range(samples):
            log_det[i, k] = ZERO
        for step in range(length):
            start = first + step * (2 * latent + 1)
            middle, end = start + latent, start + 2 * latent
            u, w, b = output[i, start:middle], output[i, middle:end], output[i, end]
            product, square_of_w = two_products(w, u, w)
            square[i, step] = square_of_w + TINY
            of_map, above = constrained(np.float64(product * part))
            along = kind(above / square[i, step])
            q[i, step], shift[i, step] = of_map, along
            for k in range(samples):
                before = inner[i, k, step]
                after = z[i, k] if step + 1 == length else inner[i, k, step + 1]
                far = kind(tanh(np.float64(inner_product(w, before) + b)))
                t[i, k, step] = far
                for j in range(latent):
                    after[j] = before[j] + (u[j] * part + along * w[j]) * far
                log_det[i, k] += log(of_map * (1.0 - far * far) + far * far)


@loop
def planar_grad_loop(output, first, inner, factors, weights, dz, doutput):  # type: ignore[no-untyped-def]
    """E207: dz is the gradient with respect to z before, and to z0 after."""
    t, q, shift, square = factors
    images, samples, length, latent = inner.shape
    kind = output.dtype.type
    part = kind(1.0 / length)
    for i in range(images):
        for step in range(length - 1, -1, -1):
            start = first + step * (2 * latent + 1)
            middle, end = start + latent, start + 2 * latent
            u, w, du, dw = (
                output[i, start:middle],
                output[i, middle:end],
                doutput[i, start:middle],
                doutput[i, middle:end],
            )
            along, of_map = shift[i, step], np.float64(q[i, step])
            dq, db, along_w = 0.0, 0.0, 0.0
            for j in range(latent):
                du[j], dw[j] = ZERO, ZERO
            for k in range(samples):
                before, d, far = inner[i, k, step], dz[i, k], t[i, k, step]
                slope = 1.0 - far * far
                share = of_sample(weights, i * samples + k) * slope / (of_map * slope + far * far)
                d_u, d_w = two_products(d, u, w)
                dphi = (d_u * part + along * d_w) * slope + 2.0 * far * (of_map - 1.0) * share
                dq -= share
                db += dphi
                along_w += far * d_w
                da = kind(dphi)
                for j in range(latent):
                    du[j] += far * d[j]
                    dw[j] += before[j] * da
                    d[j] += w[j] * da
            kept = exp(-of_map)
            along_w /= square[i, step]
            ds, both = kind(dq * (1.0 - kept) - along_w * kept), kind(2.0 * along_w * along)
            for j in range(latent):
                du_hat = du[j]
                du[j] = (du_hat + w[j] * ds) * part
                dw[j] += u[j] * part * ds + along * du_hat - both * w[j]
            doutput[i, end] = db


@any_order
def square_of_distance(z, c):  # type: ignore[no-untyped-def]
    """‖z − c‖²."""
    total = ZERO
    for j in range(z.size):
        total += (z[j] - c[j]) * (z[j] - c[j])
    return total


@any_order
def along_offset(d, z, c):  # type: ignore[no-untyped-def]
    """dᵀ(z − c)."""
    total = ZERO
    for j in range(z.size):
        total += d[j] * (z[j] - c[j])
    return total


@inline
def softplus(a):  # type: ignore[no-untyped-def]
    """log(1 + eᵃ)."""
    return max(a, 0.0) + log1p(exp(-abs(a)))


@loop
def radial_loop(output, first, inner, z, r, log_det):  # type: ignore[no-untyped-def]
    """E208, E209: in ``output`` each image has [c | L α̃ | L β̃] of every map from ``first`` on."""
    images, samples, length, latent = inner.shape
    kind = output.dtype.type
    for i in range(images):
        for k in range(samples):
            log_det[i, k] = ZERO
        for step in range(length):
            start = first + step * (latent + 2)
            c = output[i, start : start + latent]
            alpha = softplus(np.float64(output[i, start + latent]) / length)
            total = softplus(np.float64(output[i, start + latent + 1]) / length)
            for k in range(samples):
                before = inner[i, k, step]
                after = z[i, k] if step + 1 == length else inner[i, k, step + 1]
                far = sqrt(square_of_distance(before, c) + TINY)
                r[i, k, step] = far
                h = 1.0 / (alpha + far)
                factor = kind((total - alpha) * h)
                for j in range(latent):
                    after[j] = before[j] + factor * (before[j] - c[j])
                along = far * far + 2.0 * alpha * far + alpha * total
                log_det[i, k] += (latent - 1) * log((far + total) * h) + log(along * h * h)


@loop
def radial_grad_loop(output, first, inner, r, weights, dz, doutput):  # type: ignore[no-untyped-def]
    """E210: dz is the gradient with respect to z before, and to z0 after."""
    images, samples, length, latent = inner.shape
    kind = output.dtype.type
    for i in range(images):
        for step in range(length - 1, -1, -1):
            start = first + step * (latent + 2)
            c, dc = output[i, start : start + latent], doutput[i, start : start + latent]
            alpha = softplus(np.float64(output[i, start + latent]) / length)
            total = softplus(np.float64(output[i, start + latent + 1]) / length)
            dalpha, dtotal = 0.0, 0.0
            for j in range(latent):
                dc[j] = ZERO
            for k in range(samples):
                before, d, far = inner[i, k, step], dz[i, k], np.float64(r[i, k, step])
                h, along = 1.0 / (alpha + far), along_offset(d, before, c)
                share = of_sample(weights, i * samples + k)
                of_ray = share / (far * far + 2.0 * alpha * far + alpha * total)
                across = share * (latent - 1) / (far + total)
                dh = (total - alpha) * along - share * (latent + 1) / h
                dr = -h * h * dh - 2.0 * (far + alpha) * of_ray - across
                dtotal += h * along - alpha * of_ray - across
                dalpha -= h * along + h * h * dh + (2.0 * far + total) * of_ray
                factor, pull = kind((total - alpha) * h), kind(dr / far)
                for j in range(latent):
                    dy = factor * d[j] + pull * (before[j] - c[j])
                    dc[j] -= dy
                    d[j] += dy
            doutput[i, start + latent] = -expm1(-alpha) * dalpha / length
            doutput[i, start + latent + 1] = -expm1(-total) * dtotal / length


@loop
def gate_loop(z, output, after, sigma, log_det):  # type: ignore[no-untyped-def]
    """E211 of rows (B · K, Z), and log_det += Σ log σ  (E212): for float32."""
    rows, latent = z.shape
    for row in range(rows):
        m, s = output[row, :latent], output[row, latent:]
        for j in range(latent):
            e = exp_of_negative(-abs(s[j] + TWO))
            sigma[row, j] = (ONE if s[j] + TWO > ZERO else e) / (ONE + e)
            after[row, j] = m[j] + sigma[row, j] * (z[row, j] - m[j])
        product = 1.0
        for j in range(latent):
            product *= sigma[row, j]
            if j % 8 == 7 or j + 1 == latent:  # of more, the product might be zero
                log_det[row] += log(product)
                product = 1.0


@loop
def gate_grad_loop(z, output, sigma, weights, dz, doutput):  # type: ignore[no-untyped-def]
    """E213 up to [dm | ds]: dz is the gradient with respect to ``after`` before, and σ dz after."""
    rows, latent = z.shape
    for row in range(rows):
        m, dm, ds = output[row, :latent], doutput[row, :latent], doutput[row, latent:]
        share = of_sample(weights, row)
        for j in range(latent):
            kept = sigma[row, j] * dz[row, j]
            dm[j] = dz[row, j] - kept
            ds[j] = (ONE - sigma[row, j]) * (kept * (z[row, j] - m[j]) - share)
            dz[row, j] = kept


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
