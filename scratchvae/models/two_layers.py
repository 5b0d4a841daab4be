"""Two stochastic layers: p(z_2) p(z_1|z_2) p(x|z_1), with q(z_1|x) q(z_2|z_1). Burda et al. 2016.

The second layer is a flow. It carries (z_1, ε_2) of the encoder to z = (u_1, z_2), which has a
standard normal prior: z_2 is reparameterized from z_1, and u_1 is z_1 measured in units of its own
prior, which depends on z_2. So every estimator that supports flows supports two layers.
"""

from collections.abc import Iterator, Sequence

from scratchvae.backend import Array, Backend, Weight
from scratchvae.errors import ConfigError, require_instance
from scratchvae.latent import (
    AnalyticKL,
    Flow,
    LatentBuffers,
    default_estimator,
    reparameterize,
    reparameterize_grad,
    standard_deviation,
)
from scratchvae.latent.buffers import BoundFlow
from scratchvae.layers import INITIALIZATIONS, Layer, Parameter, Sequential
from scratchvae.memory import FlatBuffer, Shape, Views, Workspace
from scratchvae.models.specs import dense_layers, with_head
from scratchvae.models.vae import VAE, BoundVAE


class FirstLayerHead(Layer):
    """[μ | log σ²] of z_1, (B, 2 Z_1), widened to that of (z_1, ε_2), where ε_2 is N(0, I)."""

    def __init__(self, second: int) -> None:
        self.second = second

    def __repr__(self) -> str:
        return f"FirstLayerHead({self.second})"

    def infer_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1 or shape[0] % 2:
            raise ConfigError(f"[mu | logvar] has an even number of columns, not shape {shape}")
        return (shape[0] + 2 * self.second,)

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """Zeros for the mean and log variance of ε_2; the rest as it is  (E231)."""
        first = x.shape[1] // 2
        both = first + self.second
        y.fill(0)
        y[:, :first] = x[:, :first]
        y[:, both : both + first] = x[:, first:]

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """The columns that were copied; the zeros are constants  (E232)."""
        first = dx.shape[1] // 2
        both = first + self.second
        dx[:, :first] = dy[:, :first]
        dx[:, first:] = dy[:, both : both + first]


class SecondLayer(Flow):
    """The second stochastic layer, of ``units``: q(z_2|z_1) and p(z_1|z_2).

    ``up`` maps z_1 to [μ | log σ²] of q(z_2|z_1), ``down`` maps z_2 to those of p(z_1|z_2).
    """

    name = "second layer"
    length = 1

    def __init__(self, up: Sequential, down: Sequential, units: int) -> None:
        for name, network in (("up", up), ("down", down)):
            require_instance(network, Sequential, name, "Sequential(Dense(100), Tanh(), …)")
        self.up, self.down, self.units = up, down, units

    @classmethod
    def mlp(
        cls,
        first: int,
        units: int,
        hidden: Sequence[int] = (100, 100),
        *,
        activation: str = "tanh",
        init: str = "glorot-uniform",
    ) -> "SecondLayer":
        """Dense layers of ``hidden`` sizes above a first layer of ``first`` units.

        ``down`` has the sizes in reverse. The defaults are those of the paper, whose layers have
        100 and 50 units. ``ConfigError`` for unknown names.
        """
        if init not in INITIALIZATIONS:
            raise ConfigError(f"initialization {init!r} is not one of {', '.join(INITIALIZATIONS)}")
        start = INITIALIZATIONS[init]
        up, down = (dense_layers(sizes, activation, start) for sizes in (hidden, hidden[::-1]))
        return cls(
            with_head(up, units, "logvar", start), with_head(down, first, "logvar", start), units
        )

    def __repr__(self) -> str:
        return f"SecondLayer({self.up!r}, {self.down!r}, {self.units})"

    def require(self, latent: int) -> None:
        first = latent - self.units
        if first < 1 or self.units < 1:
            raise ConfigError(
                f"two layers have at least one unit each, not {first} and {self.units}"
            )
        for name, (network, row) in self.networks(latent).items():
            expected = 2 * (self.units if name == "up" else first)
            found = network.infer_shape((row,))
            if found != (expected,):
                raise ConfigError(
                    f"the output of the network {name!r} has shape {found}, but its "
                    f"[mu | logvar] has {expected} columns"
                )

    def networks(self, latent: int) -> dict[str, tuple[Sequential, int]]:
        """Its networks by name, each with the number of its inputs per row."""
        return {"up": (self.up, latent - self.units), "down": (self.down, self.units)}

    def parameters(self, latent: int) -> Iterator[Parameter]:
        for name, (network, row) in self.networks(latent).items():
            for p in network.parameters((row,)):
                yield p._replace(name=f"{name}.{p.name}")

    def macs_per_sample(self, latent: int) -> int:
        networks = self.networks(latent).values()
        return sum(network.macs_per_row((row,)) for network, row in networks)

    def bind(
        self,
        workspace: Workspace,
        latent: LatentBuffers,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> "BoundSecondLayer":
        return BoundSecondLayer(self, workspace, latent, params, grads)


class BoundSecondLayer(BoundFlow):
    """The second layer on its buffers, one row for each sample.

    z1 and ``code`` (B K, Z_1), z2 (B K, Z_2). ``code`` is z_1 computed from z = (u_1, z_2) alone:
    the decoder's input, also where z was drawn from the prior.
    """

    def __init__(
        self,
        flow: SecondLayer,
        workspace: Workspace,
        latent: LatentBuffers,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> None:
        super().__init__(latent)
        self.bk, K, Z = workspace.bk, latent.samples, latent.latent
        self.second, self.first = flow.units, latent.latent - flow.units

        def a_row(name: str, units: int) -> Array:
            return workspace.buffer(f"flow.{name}", units, per=K)

        latent.z0 = a_row("z0", Z).reshape(-1, K, Z)
        self.z0, self.z = latent.z0.reshape(-1, Z), latent.z.reshape(-1, Z)
        self.z1, self.z2 = a_row("z1", self.first), a_row("z2", self.second)
        self.code, self.tmp1 = a_row("code", self.first), a_row("tmp1", self.first)
        self.up_std, self.tmp2 = a_row("up_std", self.second), a_row("tmp2", self.second)
        self.down_std = a_row("down_std", self.first)
        self.row_tmp = workspace.buffer("flow.row_tmp", per=K)
        self.half = workspace.buffer("flow.half", 1, per=K)
        self.log_det = latent.log_det.reshape(-1)
        self.dcode: Array = None
        self.dz1: Array = None
        self.dz2: Array = None
        if latent.dz is not None:
            self.dcode, self.dz1 = a_row("dcode", self.first), a_row("dz1", self.first)
            self.dz2, self.dz = a_row("dz2", self.second), latent.dz.reshape(-1, Z)
        how = {"params": params, "grads": None if latent.dz is None else grads, "per": K}
        self.up = flow.up.bind(workspace, "flow.up", self.z1, self.dz1, **how)  # type: ignore[arg-type]
        self.down = flow.down.bind(workspace, "flow.down", self.z2, self.dz2, **how)  # type: ignore[arg-type]
        self.layers = (*self.up.layers, *self.down.layers)
        self.dup: Array = self.up.dy
        self.ddown: Array = self.down.dy

    def forward(self) -> None:
        """(z_1, ε_2) -> (u_1, z_2), and log_det = ½ Σ log σ²_q − ½ Σ log σ²_p  (E231)."""
        xp, Z1, Z2 = self.bk.xp, self.first, self.second
        self.z1[...] = self.z0[:, :Z1]
        self.up.forward()
        reparameterize(self.bk, self.up.y, self.up_std, self.z0[:, None, Z1:], self.z2[:, None])
        self.down.forward()
        standard_deviation(self.bk, self.down.y, self.down_std)
        xp.subtract(self.z1, self.down.y[:, :Z1], out=self.tmp1)
        xp.divide(self.tmp1, self.down_std, out=self.z[:, :Z1])
        self.z[:, Z1:] = self.z2
        xp.sum(self.up.y[:, Z2:], axis=1, out=self.log_det)
        xp.sum(self.down.y[:, Z1:], axis=1, out=self.row_tmp)
        self.log_det -= self.row_tmp
        self.log_det *= 0.5

    def find_code(self) -> None:
        """Compute ``code``: z_1 = μ_p(z_2) + σ_p(z_2) ⊙ u_1  (E231)."""
        Z1 = self.first
        self.z2[...] = self.z[:, Z1:]
        self.down.forward()
        reparameterize(
            self.bk, self.down.y, self.down_std, self.z[:, None, :Z1], self.code[:, None]
        )

    def grad_code(self) -> None:
        """From the decoder's gradient: du_1, and its part in that of p(z_1|z_2)'s head  (E232)."""
        Z1, dcode = self.first, self.dcode[:, None]
        u1 = self.z[:, None, :Z1]
        self.bk.compute(
            reparameterize_grad, self.down_std, u1, dcode, self.ddown, self.tmp1[:, None]
        )
        self.bk.xp.multiply(self.dcode, self.down_std, out=self.dz[:, :Z1])
        self.dz[:, Z1:].fill(0)

    def half_of(self, weight: Weight) -> Weight:
        """½ weight: a number, or (B K, 1) with one for each sample."""
        if isinstance(weight, int | float):
            return 0.5 * weight
        self.bk.xp.multiply(weight.reshape(-1, 1), 0.5, out=self.half)
        return self.half

    def grad_inputs(self, weight: Weight) -> None:
        """From d(u_1, z_2) to dz_1, through both networks  (E232). That of ε_2 is not needed."""
        bk, xp, Z1, Z2 = self.bk, self.bk.xp, self.first, self.second
        half = self.half_of(weight)
        du1, dz2 = self.dz[:, :Z1], self.dz[:, Z1:]
        eps2, dz = self.z0[:, None, Z1:], self.dz[:, None, Z1:]
        ddown, dup = self.ddown, self.dup
        dmu, dlogvar = ddown[:, :Z1], ddown[:, Z1:]
        xp.multiply(du1, self.z[:, :Z1], out=self.tmp1)
        self.tmp1 *= 0.5
        dlogvar -= self.tmp1
        dlogvar += half
        du1 /= self.down_std  # which is now dz_1, through u_1
        dmu -= du1
        self.down.grad_inputs()
        dz2 += self.dz2
        bk.compute(reparameterize_grad, self.up_std, eps2, dz, dup, self.tmp2[:, None])
        dlogvar2 = dup[:, Z2:]
        dlogvar2 -= half
        self.up.grad_inputs()
        du1 += self.dz1


class TwoLayerVAE(VAE):
    """log p(x) ≥ E log p(x|z_1) p(z_1|z_2) p(z_2) / (q(z_1|x) q(z_2|z_1))  (E230).

    Parameters
    ----------
    vae : VAE
        A model of one layer: its encoder is q(z_1|x), its decoder p(x|z_1); ``second`` replaces its
        prior of z_1. Its estimator must support flows: Monte Carlo, which replaces an analytic KL,
        or an importance-weighted one.
    second : SecondLayer
        The second layer. ``latent_dim`` is the number of units of both: z = (u_1, z_2).

    Raises
    ------
    ConfigError
        For sizes that do not fit each other, a ``vae`` with a flow, and an estimator that does not
        allow two layers.
    """

    def __init__(self, vae: VAE, second: SecondLayer) -> None:
        require_instance(vae, VAE, "vae", "scratchvae.VAE.mlp(784, (200, 200), latent_dim=100)")
        require_instance(second, SecondLayer, "second", "SecondLayer(up, down, units)")
        if vae.flow.length:
            raise ConfigError(f"a second layer takes the place of a flow: leave out {vae.flow!r}")
        self.first, self.second = vae.latent_dim, second
        analytic = type(vae.estimator) is AnalyticKL
        super().__init__(
            vae.pixels,
            Sequential(*vae.encoder.layers, FirstLayerHead(second.units)),
            vae.decoder,
            vae.likelihood,
            latent_dim=vae.latent_dim + second.units,
            beta=vae.beta,
            samples=vae.samples,
            estimator=default_estimator(second) if analytic else vae.estimator,
            flow=second,
        )

    def networks(self) -> dict[str, tuple[Sequential, int]]:
        return super().networks() | {"decoder": (self.decoder, self.first)}

    def bind(
        self, workspace: Workspace, params: FlatBuffer, grads: FlatBuffer | None = None
    ) -> "BoundTwoLayerVAE":
        if grads is not None:
            self.estimator.require(self.samples, self.beta, self.flow)
        return BoundTwoLayerVAE(self, workspace, params, grads)


class BoundTwoLayerVAE(BoundVAE):
    """Two stochastic layers on their buffers: z = (u_1, z_2), of which the decoder reads z_1."""

    flow: BoundSecondLayer

    def bind_code(self, workspace: Workspace) -> tuple[Array, Array | None]:
        """z_1 of every sample, and its gradient."""
        return self.flow.code, self.flow.dcode

    def make_code(self) -> None:
        """Compute z_1 from u_1 and z_2."""
        self.flow.find_code()

    def grad_code(self) -> None:
        """Compute dz from the gradient with respect to z_1."""
        self.flow.grad_code()
