"""PyTorch with ``torch.compile`` for the loss and its backward pass, and the fused Adam."""

from typing import Any

import torch

from benchmarks.contenders.torch_eager import Contender as Eager


class Contender(Eager):
    """The eager contender's step around a compiled loss, in the faster memory format."""

    adams = ("fused",)

    def make_loss(self) -> Any:
        return torch.compile(super().make_loss(), fullgraph=True, dynamic=False, mode=self.mode)

    @property
    def mode(self) -> str | None:
        """On a GPU PyTorch's own CUDA graphs."""
        return "reduce-overhead" if self.device.type == "cuda" else None

    def step(self, x: Any, eps: Any) -> Any:
        """As the eager step; what the graphs of the step before returned may be overwritten."""
        if self.mode:
            torch.compiler.cudagraph_mark_step_begin()
        return super().step(x, eps)

    def use(self, choice: str) -> None:
        super().use(choice)
        self.variant = ", ".join(filter(None, ["compiled", self.mode, choice]))
