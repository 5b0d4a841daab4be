"""PyTorch with ``torch.compile`` for the loss and its backward pass, and the fused Adam."""

from typing import Any

import torch

from benchmarks.contenders.torch_eager import Contender as Eager


class Contender(Eager):
    """The eager contender's step around a compiled loss, in the faster memory format."""

    adams = ("fused",)

    def make_loss(self) -> Any:
        return torch.compile(super().make_loss(), fullgraph=True, dynamic=False)

    def use(self, choice: str) -> None:
        super().use(choice)
        self.variant = f"compiled, {choice}"
