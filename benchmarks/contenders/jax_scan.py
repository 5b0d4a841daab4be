"""JAX: one jitted ``lax.scan`` over an epoch, with donated buffers."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.common import ADAM_EPS, BETA1, BETA2, LEARNING_RATE, Checked, Job, Order
from benchmarks.models import GAUSSIAN_STD, Spec

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}


def elbo(params: Any, x: Any, eps: Any, spec: Spec) -> Any:
    """The loss in nats an image; ``params`` are pairs of W (inputs, outputs) and b."""
    activation = ACTIVATIONS[spec.activation]
    encoder = len(spec.hidden) + 1

    def network(h: Any, params: Any) -> Any:
        for W, b in params[:-1]:
            h = activation(h @ W + b)
        W, b = params[-1]
        return h @ W + b

    mu, logvar = jnp.split(network(x, params[:encoder]), 2, axis=1)
    if spec.head == "logstd":
        logvar = 2 * logvar
    z = mu + eps * jnp.exp(0.5 * logvar)
    logits = network(z, params[encoder:])
    if spec.likelihood == "bernoulli":
        nll = jnp.sum(jax.nn.softplus(logits) - x * logits)
    else:
        squares = jnp.sum((jax.nn.sigmoid(logits) - x) ** 2)
        constant = 0.5 * x.size * math.log(2 * math.pi * GAUSSIAN_STD**2)
        nll = squares * (0.5 / GAUSSIAN_STD**2) + constant
    kl = 0.5 * jnp.sum(mu * mu + jnp.exp(logvar) - 1 - logvar)
    return (nll + kl) / x.shape[0]


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
    """Whole epochs in one call, on float32 images in memory."""

    def __init__(self, job: Job) -> None:
        self.job, spec = job, job.spec
        kind = "tensorfloat32" if job.options.get("tf32") else "highest"
        jax.config.update("jax_default_matmul_precision", kind)
        self.unroll = job.options.get("unroll", 1)  # steps of the loop in one
        self.data = jnp.asarray(job.load_values())
        self.order = Order(len(self.data), spec.batch, job.seed)
        self.granularity = self.order.steps_per_epoch
        self.key = jax.random.key(job.seed)

        @partial(jax.jit, donate_argnums=0)
        def epoch(state: Any, data: Any, visits: Any, key: Any) -> Any:
            noise = jax.random.normal(key, (*visits.shape, spec.latent))

            def body(carry: Any, inputs: Any) -> Any:
                state, total = carry
                index, eps = inputs
                x = jnp.take(data, index, axis=0, mode="clip")
                state, loss, _ = step(state, x, eps, spec)
                return (state, total + loss), None

            (state, total), _ = jax.lax.scan(
                body, (state, jnp.float32(0)), (visits, noise), unroll=self.unroll
            )
            return state, total

        self.epoch = epoch
        self.reset()

    @property
    def variant(self) -> str:
        """How the loop over the steps is compiled."""
        return "jit, scan" + (f" unrolled {self.unroll} times" if self.unroll > 1 else "")

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
        """n steps, a multiple of an epoch's; the sum of their losses over all images, in nats."""
        total, batch = 0.0, self.job.spec.batch
        for _ in range(n // self.granularity):
            visits = self.order.shuffled()[: self.granularity * batch].reshape(-1, batch)
            self.key, key = jax.random.split(self.key)
            self.state, loss = self.epoch(self.state, self.data, visits.astype(np.int32), key)
            total += float(loss)
        return total * batch

    def check(self, index: NDArray, eps: NDArray) -> Checked:
        """Steps on given batches (S, B) and their noise (S, B, Z)."""
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
