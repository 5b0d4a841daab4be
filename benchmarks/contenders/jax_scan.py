"""JAX: one jitted ``lax.scan`` over an epoch, or over equal parts of it, with donated buffers.

XLA computes a convolution within a loop many times slower than one outside (9 s against 1 s a step
of ``keras-conv`` were seen), so a network of convolutions is called step by step.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from benchmarks.contenders.common import ADAM_EPS, BETA1, BETA2, LEARNING_RATE, Checked, Job, Order
from benchmarks.layers import Layer
from benchmarks.models import GAUSSIAN_STD, Spec

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}
IMAGES = ("NHWC", "HWIO", "NHWC")
WORK = 1e11  # FLOPs of the products in one call, at most: half a second or so


def forward(layers: Sequence[Layer], params: Any, h: Any) -> Any:
    """The layers' output for rows h; ``params`` are pairs of W and b, in scratchvae's layout."""
    found = iter(params)
    for layer in layers:
        match layer.kind:
            case "dense":
                W, b = next(found)
                h = h @ W + b
            case "conv":
                W, b = next(found)
                h = (
                    lax.conv_general_dilated(
                        h,
                        kernel(layer, W),
                        (layer.stride,) * 2,
                        layer.margins,
                        dimension_numbers=IMAGES,
                    )
                    + b
                )
            case "conv-transpose":
                W, b = next(found)
                h = (
                    lax.conv_transpose(
                        h,
                        kernel(layer, W),
                        (layer.stride,) * 2,
                        "SAME",
                        dimension_numbers=IMAGES,
                        transpose_kernel=True,
                    )
                    + b
                )
            case "reshape" | "flatten":
                h = h.reshape(-1, *layer.after)
            case activation:
                h = ACTIVATIONS[activation](h)
    return h.reshape(len(h), -1)


def kernel(layer: Layer, W: Any) -> Any:
    """The matrix W as (k, k, C, O); of a transposed convolution (k, k, O, C)."""
    return W.reshape(layer.kernel, layer.kernel, -1, W.shape[1])


def elbo(params: Any, x: Any, eps: Any, spec: Spec) -> Any:
    """The loss in nats per image; with several samples the importance-weighted bound."""
    encoder, decoder = spec.networks
    weighted = sum(layer.weights is not None for layer in encoder)
    mu, logvar = jnp.split(forward(encoder, params[:weighted], x), 2, axis=1)
    if spec.head == "logstd":
        logvar = 2 * logvar
    z = mu[:, None] + eps * jnp.exp(0.5 * logvar)[:, None]  # (B, K, Z)
    logits = forward(decoder, params[weighted:], z.reshape(-1, spec.latent))
    logits = logits.reshape(*eps.shape[:2], -1)  # (B, K, D)
    if spec.likelihood == "bernoulli":
        nll = jnp.sum(jax.nn.softplus(logits) - x[:, None] * logits, axis=2)
    else:
        squares = jnp.sum((jax.nn.sigmoid(logits) - x[:, None]) ** 2, axis=2)
        constant = 0.5 * spec.pixels * math.log(2 * math.pi * GAUSSIAN_STD**2)
        nll = squares * (0.5 / GAUSSIAN_STD**2) + constant
    if spec.samples > 1:
        log_ratio = 0.5 * (jnp.sum(z * z - eps * eps, axis=2) - jnp.sum(logvar, 1)[:, None])
        bound = math.log(spec.samples) - jax.nn.logsumexp(-nll - log_ratio, axis=1)
        return jnp.mean(bound)
    kl = 0.5 * jnp.sum(mu * mu + jnp.exp(logvar) - 1 - logvar)
    return (jnp.sum(nll) + kl) / x.shape[0]


def adam(state: Any, grads: Any) -> Any:
    """One update of (p, m, v, t)."""
    p, m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)
    rate, root = LEARNING_RATE / (1 - BETA1**t), 1 / jnp.sqrt(1 - BETA2**t)
    p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + ADAM_EPS), p, m, v)
    return p, m, v, t


def step(state: Any, x: Any, eps: Any, spec: Spec) -> Any:
    """One training step: the new state, the loss, the gradient."""
    loss, grads = jax.value_and_grad(partial(elbo, spec=spec))(state[0], x, eps)
    return adam(state, grads), loss, grads


class Contender:
    """Many steps in one call, on float32 images in memory."""

    def __init__(self, job: Job) -> None:
        self.job, spec = job, job.spec
        kind = "tensorfloat32" if job.options.get("tf32") else "highest"
        jax.config.update("jax_default_matmul_precision", kind)
        self.unroll = job.options.get("unroll", 1)  # steps of the loop in one
        self.data = jnp.asarray(job.load_values())
        self.order = Order(len(self.data), spec.batch, job.seed)
        steps = self.order.steps_per_epoch
        loops = not any(layer.kind.startswith("conv") for layer in spec.weighted)
        most = max(1, WORK // spec.flops) if loops else 1
        most = min(most, job.options.get("launch", most))
        self.granularity = max(n for n in range(1, steps + 1) if steps % n == 0 and n <= most)
        unrolled = f", {self.unroll} of them in one" if self.unroll > 1 else ""
        looped = f"jit, scan over {self.granularity} steps{unrolled}"
        self.variant = looped if loops else "jit, step by step"
        self.key = jax.random.key(job.seed)

        @partial(jax.jit, donate_argnums=0)
        def scan(state: Any, data: Any, visits: Any, key: Any) -> Any:
            noise = jax.random.normal(key, (*visits.shape, spec.samples, spec.latent))

            def body(carry: Any, inputs: Any) -> Any:
                state, total = carry
                index, eps = inputs
                x = jnp.take(data, index, axis=0, mode="clip")
                state, loss, _ = step(state, x, eps, spec)
                return (state, total + loss), None

            start = state, jnp.float32(0)
            if loops:
                (state, total), _ = lax.scan(body, start, (visits, noise), unroll=self.unroll)
            else:
                (state, total), _ = body(start, (visits[0], noise[0]))
            return state, total

        self.scan = scan
        self.reset()

    def reset(self) -> None:
        """Initial weights and moments of zero."""
        arrays = self.job.load_weights()
        params = [
            tuple(jnp.asarray(arrays[f"{name}.{k}"], dtype=jnp.float32) for k in ("W", "b"))
            for name, _, _ in self.job.spec.layers
        ]
        m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        self.state: Any = (params, m, v, jnp.float32(0))

    def run(self, n: int) -> float:
        """n steps, as many calls as it takes; the sum of their losses over all images, in nats."""
        total, batch = 0.0, self.job.spec.batch
        for start, stop, order in self.order.spans(n):
            if order is not None:
                used = self.order.steps_per_epoch * batch
                self.visits = order[:used].reshape(-1, batch).astype(np.int32)
            for i in range(start, stop, self.granularity):
                self.key, key = jax.random.split(self.key)
                visits = self.visits[i : i + self.granularity]
                self.state, loss = self.scan(self.state, self.data, visits, key)
                total += float(loss)
        return total * batch

    def check(self, index: NDArray, eps: NDArray) -> Checked:
        """Steps on given batches (S, B) and their noise (S, B, K, Z)."""
        self.reset()
        jitted = jax.jit(partial(step, spec=self.job.spec))
        for k in range(len(index)):
            x = self.data[index[k]]
            self.state, loss, grads = jitted(self.state, x, jnp.asarray(eps[k], jnp.float32))
            if k == 0:
                first, gradient = float(loss), self.by_name(grads)
        updated = self.by_name(self.state[0])
        self.reset()
        return Checked(first, gradient, updated)

    def by_name(self, params: Any) -> dict[str, NDArray]:
        """Copies under scratchvae's names."""
        found = {}
        for (name, _, _), (W, b) in zip(self.job.spec.layers, params, strict=True):
            found[f"{name}.W"], found[f"{name}.b"] = np.array(W), np.array(b)
        return found
