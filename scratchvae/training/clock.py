"""The inputs that change from step to step, on the host or on the device."""

from typing import NamedTuple

from scratchvae.backend import Array, Backend, Number


class StepInputs(NamedTuple):
    """What a step depends on beside images and noise: its place in the run, and the schedules."""

    t: Number  # the number of the step in the run, from 1: it names the noise
    index: Array  # (rows,) the images of its batch
    lr: Number
    beta: Number  # the weight of the KL
    loss: Array  # (1,) receives the sum of the batch's losses


class Clock:
    """The inputs of a recorded step: numbers on the device that the device itself advances.

    ``order`` (S, B), ``rates`` and ``betas`` (S,) hold an epoch of S steps and are loaded from the
    host; ``t`` and ``i`` number the next step, within the run and within the epoch. A step starts
    with :meth:`begin`, which sets index, lr and beta, and ends with :meth:`end`, which stores its
    loss in ``losses`` (S, 1).
    """

    def __init__(self, bk: Backend, order: Array, losses: Array) -> None:
        self.bk, self.order, self.losses = bk, order, losses
        steps, batch_size = order.shape
        self.rates, self.betas = (bk.zeros((steps,), "float64") for _ in range(2))
        self.t, self.i = (bk.zeros((), "int64") for _ in range(2))
        self.index = bk.zeros((batch_size,), "int64")
        self.lr, self.beta = (bk.zeros((), "float64") for _ in range(2))
        self.loss = bk.zeros((1,))
        self.next: tuple[int, int] | None = None  # what t and i are, as far as the host knows

    def set(self, t: int, i: int, rates: list[float], betas: list[float]) -> None:
        """Go to step t of the run, step i of an epoch with these learning rates and KL weights."""
        self.bk.load(t, self.t)
        self.bk.load(i, self.i)
        self.bk.load(rates, self.rates)
        self.bk.load(betas, self.betas)
        self.next = t, i

    def inputs(self, rows: int, beta: float | None) -> StepInputs:
        """Views of the clock's values, for a batch of ``rows`` images.

        ``beta``: the weight of the KL where it never changes; None where the clock sets it.
        """
        return StepInputs(
            self.t, self.index[:rows], self.lr, self.beta if beta is None else beta, self.loss
        )

    def begin(self) -> None:
        """Copy index, lr and beta of the next step from the epoch's arrays."""
        self.bk.begin_step(
            self.i, self.order, self.rates, self.betas, self.index, self.lr, self.beta
        )

    def end(self) -> None:
        """Store the loss of the step and advance by one."""
        self.bk.end_step(self.t, self.i, self.loss, self.losses)
