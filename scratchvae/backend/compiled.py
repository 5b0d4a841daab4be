"""The CPU backend with loops that numba compiles, for what takes several passes in NumPy.

The forms of activations and of the Bernoulli go over float32 in rows without gaps; other arrays are
left to NumPy's forms.
``get_backend(compiled=True)`` imports this module where numba is installed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from scratchvae.backend import cpu_elementwise, cpu_updates, loops
from scratchvae.backend.base import (
    FLUSH_EVERY,
    Array,
    Backend,
    FormResult,
    Note,
    Number,
    Rule,
    Weight,
    below_one,
    ignore,
)
from scratchvae.backend.cpu import NumpyBackend, numpy_has_avx512
from scratchvae.backend.noise import Stream, fill_uniform

Maps = Any  # the planar or radial maps of a flow on their buffers, of latent/flows.py


def adam(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of Adam  (E24)."""
    if t % FLUSH_EVERY == 0:  # the one step in 128 that flushes takes its time
        return cpu_updates.adam(rule, bk, p, g, buffers, lr, t)
    m, v, _ = buffers
    eps, rate = cpu_updates.adam_numbers(rule, lr, t)
    numbers = loops.AdamNumbers(*_typed(bk, rule.beta1, rule.beta2, eps, rate))
    loops.adam_loop(p, g, m, v, numbers)


def rmsprop(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of RMSprop  (E41)."""
    if t % FLUSH_EVERY == 0:
        return cpu_updates.rmsprop(rule, bk, p, g, buffers, lr, t)
    r, _ = buffers
    eps, rate = cpu_updates.rmsprop_numbers(rule, lr)
    inside, outside = (eps, 0.0) if rule.eps_inside else (0.0, eps)
    loops.rmsprop_loop(p, g, r, *_typed(bk, rule.rho, inside, outside, rate))


def sgd(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of gradient descent, with momentum or without  (E42)."""
    if t % FLUSH_EVERY == 0:
        return cpu_updates.sgd(rule, bk, p, g, buffers, lr, t)
    *velocity, _ = buffers
    momentum, rate = _typed(bk, rule.momentum, lr)
    if not velocity:
        loops.sgd_loop(p, g, rate)
    elif rule.nesterov:
        loops.nesterov_loop(p, g, *velocity, momentum, rate)
    else:
        loops.momentum_loop(p, g, *velocity, momentum, rate)


def adagrad(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of Adagrad  (E43)."""
    s, _ = buffers
    loops.adagrad_loop(p, g, s, *_typed(bk, rule.eps, lr))


def _typed(bk: Backend, *numbers: float) -> list[np.floating]:
    """Numbers of the backend's own type: of another, they would change that of a loop."""
    return [bk.dtype.type(number) for number in numbers]


def tanh(bk: Backend, x: Array, y: Array) -> FormResult:
    """y = tanh x  (E8)."""
    if not _rows_of_float32(y):
        return NotImplemented
    if x is not y:
        np.copyto(y, x)
    loops.tanh_loop(y.reshape(-1))
    return None


def relu_grad(bk: Backend, y: Array, dy: Array, dx: Array, tmp: Array) -> None:
    """dx = dy where y > 0, else 0  (E11)."""
    if not _rows_of_float32(y, dx):
        return cpu_elementwise.relu_grad(bk, y, dy, dx, tmp)
    if dx is not dy:
        np.copyto(dx, dy)
    loops.relu_grad_loop(y.reshape(-1), dx.reshape(-1))


def tanh_grad(bk: Backend, y: Array, dy: Array, dx: Array, tmp: Array) -> FormResult:
    """dx = dy (1 − y) (1 + y)  (E9)."""
    if not _rows_of_float32(y, dx):
        return NotImplemented
    if dx is not dy:
        np.copyto(dx, dy)
    loops.tanh_grad_loop(y.reshape(-1), dx.reshape(-1))
    return None


def bernoulli_nll(bk: Backend, a: Array, x: Array, nll: Array, tmp: Array, tmp2: Array) -> None:
    """nll = Σ_d log(1 + eᵃ) − x a  (E18)."""
    if not (_rows_of_float32(a, x, nll, tmp) and _an_image_for_its_samples(a, x)):
        return cpu_elementwise.bernoulli_nll(bk, a, x, nll, tmp, tmp2)
    samples, pixels = a.shape[1:]
    rows = a.reshape(-1, pixels), x.reshape(-1, pixels)
    loops.bernoulli_loop(*rows, samples, nll.reshape(-1), tmp.reshape(-1)[:pixels])


def bernoulli_nll_and_grad(
    bk: Backend, a: Array, x: Array, nll: Array, da: Array, tmp: Array, tmp2: Array
) -> None:
    """nll = Σ_d log(1 + eᵃ) − x a; da = sigmoid(a) − x  (E18, E19)."""
    if not (_rows_of_float32(a, x, nll, da, tmp) and _an_image_for_its_samples(a, x)):
        return cpu_elementwise.bernoulli_nll_and_grad(bk, a, x, nll, da, tmp, tmp2)
    samples, pixels = a.shape[1:]
    rows = a.reshape(-1, pixels), x.reshape(-1, pixels)
    buffers = nll.reshape(-1), da.reshape(-1, pixels), tmp.reshape(-1)[:pixels]
    loops.bernoulli_grad_loop(*rows, samples, *buffers)


def _rows_of_float32(*arrays: Array) -> bool:
    """Whether the loops can go over these arrays; NumPy's forms take any others."""
    return all(a.dtype == np.float32 and a.flags.c_contiguous for a in arrays)


def _an_image_for_its_samples(a: Array, x: Array) -> bool:
    return a.ndim == 3 and x.shape == (a.shape[0], 1, a.shape[2])


def kl_per_unit(bk: Backend, head: Array, std: Array, out: Array, tmp: Array) -> None:
    """KL_j = ½ (μ_j² + σ_j² − 1 − log σ_j²)  (E16)."""
    loops.kl_loop(head, std, out)


def kl_grad(
    bk: Backend, head: Array, std: Array, weight: Weight, dhead: Array, tmp: Array
) -> FormResult:
    """dμ += w μ, d log σ² += w ½ (σ² − 1)  (E17), for a weight that is one number."""
    if not isinstance(weight, float):
        return NotImplemented
    loops.kl_grad_loop(head, std, *_typed(bk, weight), dhead)
    return None


def monte_carlo_kl(
    bk: Backend, head: Array, z: Array, eps: Array, out: Array, tmp: tuple[Array, Array]
) -> None:
    """KL_j ≈ 1/K Σ_k ½ (z_j² − ε_j² − log σ_j²)  (E45)."""
    loops.monte_carlo_kl_loop(head, z, eps, out, *_typed(bk, 1.0 / z.shape[1]))


def log_ratio(
    bk: Backend, head: Array, z: Array, eps: Array, out: Array, tmp: tuple[Array, Array, Array]
) -> None:
    """log q(z_k|x) − log p(z_k)  (E45)."""
    loops.log_ratio_loop(head, z, eps, out)


def reparameterize_grad(
    bk: Backend, std: Array, eps: Array, dz: Array, dhead: Array, tmp: Array
) -> None:
    """dμ = Σ_k dz, d log σ² = ½ σ ⊙ Σ_k dz ⊙ ε  (E13)."""
    loops.reparameterize_grad_loop(std, eps, dz, dhead)


def planar(maps: Maps) -> None:
    """The maps' z and log |det|  (E205, E206)."""
    latent, first = maps.latent, 2 * maps.latent.latent
    factors = loops.PlanarFactors(maps.t, maps.q, maps.shift, maps.square)
    loops.planar_loop(latent.output, first, maps.inner, latent.z, factors, latent.log_det)


def planar_grad(maps: Maps, weight: Weight) -> None:
    """dz and the gradient of the maps' numbers  (E207)."""
    latent, first = maps.latent, 2 * maps.latent.latent
    factors = loops.PlanarFactors(maps.t, maps.q, maps.shift, maps.square)
    sent = _of_samples(maps.bk, weight), latent.dz, latent.doutput
    loops.planar_grad_loop(latent.output, first, maps.inner, factors, *sent)


def radial(maps: Maps) -> None:
    """The maps' z and log |det|  (E208, E209)."""
    latent, first = maps.latent, 2 * maps.latent.latent
    loops.radial_loop(latent.output, first, maps.inner, latent.z, maps.r, latent.log_det)


def radial_grad(maps: Maps, weight: Weight) -> None:
    """dz and the gradient of the maps' numbers  (E210)."""
    latent, first = maps.latent, 2 * maps.latent.latent
    sent = _of_samples(maps.bk, weight), latent.dz, latent.doutput
    loops.radial_grad_loop(latent.output, first, maps.inner, maps.r, *sent)


def gate(
    bk: Backend, arrays: tuple[Array, ...], log_det: Array, tmp: tuple[Array, Array]
) -> FormResult:
    """after = m + σ (z − m)  (E211), log_det += Σ log σ  (E212)."""
    z, output, sigma, after = arrays
    if not _rows_of_float32(z, output, after, sigma, log_det):
        return NotImplemented
    loops.gate_loop(z, output, after, sigma, log_det)
    return None


def gate_grad(
    bk: Backend, arrays: tuple[Array, ...], weight: Weight, dz: Array, doutput: Array, tmp: Array
) -> FormResult:
    """[dm | ds] of a map; then dz ← σ dz  (E213)."""
    z, output, sigma, _ = arrays
    if not _rows_of_float32(z, output, sigma, dz, doutput):
        return NotImplemented
    loops.gate_grad_loop(z, output, sigma, _of_samples(bk, weight), dz, doutput)
    return None


def _of_samples(bk: Backend, weight: Weight) -> Array:
    """The weights of the samples in a row; a single one if all have the same."""
    return np.asarray(weight, bk.dtype).reshape(-1)


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
        "kl per unit": kl_per_unit,
        "kl grad": kl_grad,
        "monte carlo kl": monte_carlo_kl,
        "log ratio": log_ratio,
        "reparameterize grad": reparameterize_grad,
        "planar": planar,
        "planar grad": planar_grad,
        "radial": radial,
        "radial grad": radial_grad,
        "gate": gate,
        "gate grad": gate_grad,
        # NumPy's tanh with AVX-512 is thrice as fast as the loop, and any other a third as fast.
        **({} if numpy_has_avx512() else {"tanh": tanh}),
    }

    def compile(self, note: Note = ignore) -> None:
        """Compile all loops for this float type, unless the first of them is found on disk.

        Those on disk are loaded when they are first called.
        """
        begun, before = time.perf_counter(), loops.compilations()
        first, *others = self._first_calls()
        first()
        if loops.compilations() == before:
            return
        note("numba compiles the loops for this processor, once: about ten seconds")
        for first_call in others:
            first_call()
        note(f"the loops are compiled, in {time.perf_counter() - begun:.0f} s")

    def _first_calls(self) -> Iterator[Callable[[], object]]:
        """Calls that use every loop, on arrays of a few numbers."""
        kind, one = self.dtype.type, self.dtype.type(1)
        p, g, m, v = (np.zeros(4, kind) for _ in range(4))
        yield lambda: loops.adam_loop(p, g, m, v, loops.AdamNumbers(one, one, one, one))
        yield lambda: loops.rmsprop_loop(p, g, m, one, one, one, one)
        yield lambda: loops.sgd_loop(p, g, one)
        yield lambda: loops.momentum_loop(p, g, m, one, one)
        yield lambda: loops.nesterov_loop(p, g, m, one, one)
        yield lambda: loops.adagrad_loop(p, g, m, one, one)
        yield lambda: loops.normal_loop(np.zeros(4), p)
        yield lambda: loops.gather_loop(
            np.zeros((2, 4), np.uint8), np.zeros(1, np.int64), one, p.reshape(1, 4)
        )
        yield lambda: loops.binarize_loop(p, np.zeros(4), below_one(self.dtype))
        head, std, z = p.reshape(1, 4), p[:2].reshape(1, 2), g[:2].reshape(1, 1, 2)
        yield lambda: loops.kl_loop(head, std, m[:2].reshape(1, 2))
        yield lambda: loops.kl_grad_loop(head, std, one, g.reshape(1, 4))
        yield lambda: loops.monte_carlo_kl_loop(head, z, z, std, one)
        yield lambda: loops.log_ratio_loop(head, z, z, m[:1].reshape(1, 1))
        yield lambda: loops.reparameterize_grad_loop(std, z, z, p.reshape(1, 4))
        # Maps of one unit: the encoder says [μ | log σ² | u | w | b], or [… | c | α̃ | β̃].
        said, sends, inner, unit = *np.zeros((2, 1, 5), kind), *np.zeros((2, 1, 1, 1, 1), kind)
        of_sample, of_map, weights = np.zeros((1, 1, 1), kind), p[:1].reshape(1, 1), g[:1]
        factors = loops.PlanarFactors(of_sample, of_map, of_map, of_map)
        sent = weights, unit[0], sends
        yield lambda: loops.planar_loop(said, 2, inner, unit[0], factors, of_map)
        yield lambda: loops.planar_grad_loop(said, 2, inner, factors, *sent)
        yield lambda: loops.radial_loop(said, 2, inner, unit[0], of_sample, of_map)
        yield lambda: loops.radial_grad_loop(said, 2, inner, of_sample, *sent)
        if kind is np.float32:
            rows = p.reshape(1, 4), g.reshape(1, 4)
            yield lambda: loops.tanh_loop(p)
            yield lambda: loops.relu_grad_loop(p, g)
            yield lambda: loops.tanh_grad_loop(p, g)
            yield lambda: loops.bernoulli_loop(*rows, 1, m[:1], v)
            yield lambda: loops.bernoulli_grad_loop(*rows, 1, m[:1], m.reshape(1, 4), v)
            yield lambda: loops.gate_loop(std, head, std, std, m[:1])
            yield lambda: loops.gate_grad_loop(std, head, std, weights, std, head)

    def gather(
        self, images: Array, index: Array, max_level: int | None, out: Array, raw: Array
    ) -> None:
        if max_level is None or images.dtype != np.uint8:
            super().gather(images, index, max_level, out, raw)
        else:
            loops.gather_loop(images, index, self.dtype.type(max_level), out)

    def normal(self, out: Array, stream: Stream, scratch: Array, position: int = 0) -> None:
        u = scratch[: out.size + out.size % 2]
        fill_uniform(u, stream, position)
        loops.normal_loop(u, out.reshape(-1))

    def binarize(
        self, x: Array, stream: Stream, draw: Array, scratch: Array, position: int = 0
    ) -> None:
        u = scratch[: x.size]
        fill_uniform(u, stream, position)
        loops.binarize_loop(x.reshape(-1), u, below_one(self.dtype))

    def describe(self) -> dict[str, str]:
        return super().describe() | {"numba": loops.numba.__version__}
