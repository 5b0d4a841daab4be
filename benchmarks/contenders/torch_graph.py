"""PyTorch as fast as it can be made by hand: whole steps in one CUDA graph, Adam fused in it.

The loss and its backward pass are compiled; K steps with their gathers, noise and updates are
recorded once and launched as one.
"""

from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.contenders.common import ADAM_EPS, BETA1, BETA2, LEARNING_RATE, Checked, Job
from benchmarks.contenders.torch_compile import Contender as Compiled

MOST = 100  # steps per graph, unless the option "launch" says another number
WARM = 3  # steps before a recording, which compile and choose kernels


class Contender(Compiled):
    """K steps per launch, K dividing the steps of an epoch."""

    mode = None  # the graph is ours

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        steps = self.order.steps_per_epoch
        most = min(job.options.get("launch", MOST), steps)
        self.granularity = max(k for k in range(1, most + 1) if steps % k == 0)
        self.variant = f"compiled, {self.granularity} steps per graph, fused capturable Adam"
        self.graph = self.record(self.granularity, draw=True)

    def choose(self) -> None:
        """There is one Adam that a graph can hold."""
        self.losses: dict[bool, Any] = {}
        self.use(next(iter(self.choices)))

    def reset(self) -> None:
        """Initial weights, and an Adam whose step number lies on the device."""
        super().reset()
        self.optimizer = torch.optim.Adam(
            self.params, LEARNING_RATE, (BETA1, BETA2), ADAM_EPS, fused=True, capturable=True
        )

    def record(self, steps: int, draw: bool) -> Any:
        """``steps`` steps as a graph, from the initial weights; ``draw``: with fresh noise."""
        spec = self.job.spec
        self.reset()
        self.index = torch.zeros(steps, spec.batch, dtype=torch.int64, device=self.device)
        noise = (steps, spec.batch, spec.samples, spec.latent)
        self.noise = torch.zeros(noise, device=self.device)
        self.total = torch.zeros((), device=self.device)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            kept = [p.detach().clone() for p in self.params]
            for _ in range(WARM):
                self.several(1, draw)
            with torch.no_grad():  # as if the warm-up had not been
                for p, start in zip(self.params, kept, strict=True):
                    p.copy_(start)
                for state in self.optimizer.state.values():
                    for moment in state.values():
                        moment.zero_()
                self.total.zero_()
            self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.several(steps, draw)
        return graph

    def several(self, steps: int, draw: bool) -> None:
        """``steps`` steps on the batches and the noise in the buffers."""
        if draw:
            self.noise.normal_()
        for k in range(steps):
            x = self.data.index_select(0, self.index[k])
            self.total += self.step(x, self.noise[k])

    def run(self, n: int) -> float:
        """n steps, a multiple of the graph's; the sum of their losses over all images."""
        K, batch = self.granularity, self.job.spec.batch
        self.total.zero_()
        for start, stop, order in self.order.spans(n):
            if order is not None:
                self.visits = torch.from_numpy(order).to(self.device)
            for i in range(start, stop, K):
                self.index.copy_(self.visits[i * batch : (i + K) * batch].view(K, batch))
                self.graph.replay()
        return float(self.total) * batch

    def check(self, index: NDArray, eps: NDArray) -> Checked:
        """Steps on given batches (S, B) and their noise (S, B, K, Z), by a graph of one step."""
        kept = self.graph, self.index, self.noise, self.total, self.params, self.optimizer
        graph = self.record(1, draw=False)
        for k in range(len(index)):
            self.index.copy_(torch.from_numpy(index[k : k + 1]))
            self.noise.copy_(torch.from_numpy(eps[k : k + 1]))
            graph.replay()
            if k == 0:
                first = float(self.total)
                grads = self.by_name([p.grad for p in self.params])
        updated = self.by_name(self.params)
        self.graph, self.index, self.noise, self.total, self.params, self.optimizer = kept
        return Checked(first, grads, updated)
