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

        return torch.compile(loss, fullgraph=True, dynamic=False)

    def choose_adam(self) -> None:
        self.run(3)  # compiles
        self.reset()

    @property
    def variant(self) -> str:
        return "compiled, fused Adam"
