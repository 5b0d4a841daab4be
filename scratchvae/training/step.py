"""One training step: a batch, its noise, the gradient, the update."""

from collections.abc import Callable

from scratchvae.backend import Array, Backend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.memory import FlatBuffer, Tape
from scratchvae.models import VAE, BoundVAE
from scratchvae.optim import Adam


class TrainingStep:
    """A model, an optimizer and a data set on their buffers, bound once.

    ``images`` (N, D) live on the device, as levels (uint8) or grey values. ``order`` (N,) holds
    the images of an epoch in the order of their visits; whoever runs the epoch loads it. Step t
    (from 1) of a run draws the noise number t, whichever epoch it belongs to. After binding, a
    step allocates nothing and does not wait for the device; losses[i] receives the sums over the
    batch of −log p(x|z) and of the KL at step i of the epoch.
    """

    def __init__(
        self,
        bk: Backend,
        vae: VAE,
        params: FlatBuffer,
        optimizer: Adam,
        images: Array,
        levels: int | None,
        batch_size: int,
        seed: int,
        dynamic: bool = False,
    ) -> None:
        self.bk, self.vae, self.params = bk, vae, params
        self.images, self.levels = images, levels
        self.batch_size, self.seed, self.dynamic = batch_size, seed, dynamic
        n, D = images.shape
        self.steps_per_epoch = -(-n // batch_size)
        self.order = bk.empty((n,), dtype="int64")
        self.losses = bk.zeros((self.steps_per_epoch, 2))
        self.grads = FlatBuffer(bk, vae.layout)
        self.optimizer = optimizer.bind(bk, params, self.grads)
        self.scratch = bk.noise_scratch(batch_size * max(D, vae.samples * vae.latent_dim))

        tape = Tape(bk, batch_size)
        self.full = self._bind(tape)
        rest = n % batch_size
        self.last = self._bind(tape.rows(0, rest)) if rest else self.full
        self._update: Callable[[int, int], None] = bk.capture(self._step)

    def _bind(self, tape: Tape) -> "Batch":
        D = self.vae.pixels
        return Batch(
            self.vae.bind(tape, self.params, self.grads),
            raw=tape.buffer("raw", D, dtype=self.images.dtype),
            uniform=tape.buffer("uniform", D) if self.dynamic else None,
        )

    def __call__(self, t: int, i: int) -> None:
        """Step number t of the run, which is step i of its epoch."""
        with self.bk.quiet():
            self._update(t, i)

    def _step(self, t: int, i: int) -> None:
        self.gradient(t, i)
        self.optimizer.step(t)

    def gradient(self, t: int, i: int) -> "Batch":
        """All of a step but the update: the losses and the gradient of the mean over the batch."""
        bk = self.bk
        batch = self.last if i + 1 == self.steps_per_epoch else self.full
        bound, start = batch.bound, i * self.batch_size
        index = self.order[start : start + bound.rows]
        bk.gather(self.images, index, self.levels, bound.x, batch.raw)
        if batch.uniform is not None:  # x ~ Bernoulli(grey value), afresh at each visit  (E33)
            bk.uniform(batch.uniform, Stream(self.seed, Purpose.BINARIZE, t), self.scratch)
            bk.xp.less(batch.uniform, bound.x, out=bound.x)
        bk.normal(bound.eps, Stream(self.seed, Purpose.LATENT, t), self.scratch)
        bound.loss_and_gradient(1.0 / bound.rows)
        bk.xp.sum(batch.nll, axis=1, out=self.losses[i, 0:1])
        bk.xp.sum(batch.kl, axis=1, out=self.losses[i, 1:2])
        return batch


class Batch:
    """A model bound to a number of images, with the buffers that its input is made in."""

    def __init__(self, bound: BoundVAE, raw: Array, uniform: Array | None) -> None:
        self.bound, self.raw, self.uniform = bound, raw, uniform
        self.nll = bound.nll.reshape(1, -1)  # all values of the batch in a row, to be summed
        self.kl = bound.kl.reshape(1, -1)
