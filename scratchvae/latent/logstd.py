"""For encoders whose second head is log σ: the node that turns it into log σ²."""

from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError
from scratchvae.layers import Layer
from scratchvae.memory import Shape


class LogStdHead(Layer):
    """[μ | log σ] -> [μ | log σ²], the last layer of an encoder that declares it: (B, 2Z)."""

    inplace = True

    def __init__(self) -> None:
        self.latent = 0  # known once built

    def __repr__(self) -> str:
        return "LogStdHead()"

    def build(self, shape: Shape) -> Shape:
        if len(shape) != 1 or shape[0] % 2:
            raise ConfigError(f"[mu | logstd] has an even number of columns, not shape {shape}")
        self.latent = shape[0] // 2
        return shape

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """log σ² = 2 log σ; μ as it is  (E14)."""
        if y is not x:
            y[...] = x
        logvar = y[:, self.latent :]
        logvar *= 2.0

    def chain(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """d log σ = 2 d log σ²; dμ as it is  (E15)."""
        if dx is not dy:
            dx[...] = dy
        dlogstd = dx[:, self.latent :]
        dlogstd *= 2.0
