"""PyTorch with ``torch.compile`` for the loss and its backward pass, and the fused Adam."""

from typing import Any

import torch

from benchmarks.contenders.torch_eager import Contender as Eager
from benchmarks.contenders.torch_eager import elbo


class Contender(Eager):
    """The eager contender's step around a compiled loss."""

    def make_loss(self) -> Any:
        spec = self.job.spec

        def loss(params: Any, x: Any, eps: Any) -> Any:
            return elbo(spec, params, x, eps)

        return torch.compile(loss, fullgraph=True, dynamic=False, mode=self.mode)

    @property
    def mode(self) -> str | None:
        """On a GPU PyTorch's own CUDA graphs."""
        return "reduce-overhead" if self.device.type == "cuda" else None

    def step(self, x: Any, eps: Any) -> Any:
        """As the eager step; what the graphs of the step before returned may be overwritten."""
        if self.mode:
            torch.compiler.cudagraph_mark_step_begin()
        return super().step(x, eps)

    def choose_adam(self) -> None:
        self.run(3)  # compiles
        self.reset()

    @property
    def variant(self) -> str:
        return ", ".join(filter(None, ["compiled", self.mode, "fused Adam"]))
