"""The inverse autoregressive flow: each unit is moved as the units before it say.

Kingma et al. 2016, with the masks of Germain et al. 2015 (MADE).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence

from scratchvae.backend import Array, Backend, Weight
from scratchvae.errors import ConfigError, whole_number
from scratchvae.latent.buffers import LatentBuffers
from scratchvae.latent.flows import AmortizedFlow, BoundMaps, FlowSettings
from scratchvae.layers import Constant, GlorotUniform, Layer, Parameter, sigmoid
from scratchvae.layers.base import WHOLE
from scratchvae.layers.initializers import Initializer
from scratchvae.layers.sequential import BoundLayer
from scratchvae.memory import FlatBuffer, Shape, Views, Workspace

KEEP = 2.0  # of the input of the sigmoid: at the start σ = 0.88, and a map nearly keeps z


class InverseAutoregressive(AmortizedFlow):
    """z ← m + σ (z − m), where m_j and σ_j depend on the units of z before j, and on the image.

    m and σ come from a network with one hidden layer of tanh, whose weights are the same for all
    images; the encoder gives its hidden biases. Every second map takes the units in reverse.
    """

    name = "iaf"
    default_length = 4
    default_hidden = 100
    settings = ("length", "hidden")

    def __init__(self, length: int | None = None, hidden: int | None = None) -> None:
        super().__init__(length)
        hidden = self.default_hidden if hidden is None else hidden
        self.hidden = whole_number(hidden, "the hidden units of an autoregressive flow")

    @classmethod
    def from_settings(cls, settings: FlowSettings) -> "InverseAutoregressive":
        return cls(settings.length, settings.hidden)

    def __repr__(self) -> str:
        return f"InverseAutoregressive({self.length}, {self.hidden})"

    def require(self, latent: int) -> None:
        if latent < 2:
            raise ConfigError(
                "an autoregressive flow needs at least 2 latent units, of which one depends on "
                f"another, not {latent}: raise latent_dim, or choose planar"
            )

    def numbers(self, latent: int) -> int:
        """The biases of the hidden layer."""
        return self.hidden

    def layers(self, latent: int, step: int) -> tuple["MaskedDense", "MaskedDense"]:
        """The two layers of a map: z to the hidden units, these to [m | s]."""
        order = range(1, latent + 1) if step % 2 == 0 else range(latent, 0, -1)
        places = tuple(order)
        hidden = tuple(1 + unit % (latent - 1) for unit in range(self.hidden))
        return (
            MaskedDense(places, hidden, or_equal=True, bias=False),
            MaskedDense(hidden, 2 * places, or_equal=False, bias=True),
        )

    def parameters(self, latent: int) -> Iterator[Parameter]:
        for step in range(self.length):
            for name, layer in zip(("in", "out"), self.layers(latent, step), strict=True):
                row = (len(layer.inputs_at),)
                for own, (shape, start) in layer.parameters(row).items():
                    yield Parameter(f"{step}.{name}.{own}", shape, start, layer.fans(row))

    def macs_per_sample(self, latent: int) -> int:
        return self.length * 3 * latent * self.hidden

    def bind(
        self,
        workspace: Workspace,
        latent: LatentBuffers,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> "BoundAutoregressive":
        return BoundAutoregressive(self, workspace, latent, params, grads)


class MaskedDense(Layer):
    """y = x (W ∘ M) + b, where an output depends on those inputs alone that come before it.

    ``inputs_at`` and ``outputs_at``: the place of each in the order; with ``or_equal`` an output
    depends on the inputs at its own place, too. Parameters: W (I, O) and, with ``bias``, b (O,).
    """

    scratch_like = "x"
    mask: Array = None  # 1 or 0, (I, O), once it is bound
    masked: Array = None  # the buffer of W ∘ M then

    def __init__(
        self, inputs_at: Sequence[int], outputs_at: Sequence[int], or_equal: bool, bias: bool
    ) -> None:
        self.inputs_at, self.outputs_at = tuple(inputs_at), tuple(outputs_at)
        self.or_equal, self.bias = or_equal, bias

    def infer_shape(self, shape: Shape) -> Shape:
        return (len(self.outputs_at),)

    def parameters(self, shape: Shape) -> Mapping[str, tuple[Shape, Initializer]]:
        size = len(self.inputs_at), len(self.outputs_at)
        W: dict[str, tuple[Shape, Initializer]] = {"W": (size, GlorotUniform())}
        return W | {"b": (size[1:], Constant(0.0))} if self.bias else W

    def fans(self, shape: Shape) -> tuple[int, int]:
        return len(self.inputs_at), len(self.outputs_at)

    def __repr__(self) -> str:
        return f"MaskedDense({len(self.outputs_at)})"

    def seen(self) -> list[list[float]]:
        """The mask: 1 where an output may see an input, else 0."""
        less = 0 if self.or_equal else 1
        return [[float(o - i >= less) for o in self.outputs_at] for i in self.inputs_at]

    def bound_to(self, workspace: Workspace, shape: Shape, per: int = 1) -> "MaskedDense":
        other, size = copy.copy(self), (len(self.inputs_at), len(self.outputs_at))
        places = f"{self.inputs_at} {self.outputs_at} {self.or_equal}"
        other.mask = workspace.private(f"mask {places}", *size)
        workspace.bk.load(self.seen(), other.mask)
        other.masked = workspace.private("masked weights", *size)
        return other

    def weights(self, bk: Backend, p: Views) -> Array:
        """W ∘ M  (E212)."""
        mask = bk.array(self.seen()) if self.mask is None else self.mask
        masked = bk.empty(mask.shape) if self.masked is None else self.masked
        bk.xp.multiply(p.W, mask, out=masked)
        return masked

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y = x (W ∘ M) + b  (E212)."""
        bk.gemm(x, self.weights(bk, p), y)
        if self.bias:
            y += p.b

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy (W ∘ M)ᵀ  (E213)."""
        bk.gemm_nt(dy, self.weights(bk, p), dx, tmp)

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Views, rows: slice = WHOLE) -> None:
        """dW = (xᵀ dy) ∘ M, db = Σ_rows dy; only ``rows`` of dW, and db with the last  (E213)."""
        mask = bk.array(self.seen()) if self.mask is None else self.mask
        dW = g.W[rows]
        bk.gemm(x.T[rows], dy, dW)
        dW *= mask[rows]
        if self.bias and rows.stop in (None, x.shape[1]):
            bk.sum_rows(dy, g.b)


class BoundAutoregressive(BoundMaps):
    """Autoregressive maps on their buffers; see :class:`InverseAutoregressive`.

    Of each map and sample: hidden (B, K, L, H), output = [m | s] (B, K, L, 2Z), sigma and less_m =
    z − m (B, K, L, Z).
    """

    def __init__(
        self,
        flow: InverseAutoregressive,
        workspace: Workspace,
        latent: LatentBuffers,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> None:
        super().__init__(workspace, latent, flow.length)
        Z, H = latent.latent, flow.hidden
        self.hidden, self.output = self.per_sample("hidden", H), self.per_sample("output", 2 * Z)
        self.sigma, self.less_m = self.per_sample("sigma", Z), self.per_sample("less_m", Z)
        self.logs = self.per_sample("logs", Z)
        dhidden = doutput = None
        if grads is not None:
            dhidden, doutput = self.per_sample("dhidden", H), self.per_sample("doutput", 2 * Z)
            self.dhidden, self.doutput, K = dhidden, doutput, latent.samples
            self.by_unit = workspace.buffer("flow.by_unit", Z, per=K).reshape(-1, K, Z)
            self.by_hidden = workspace.buffer("flow.by_hidden", H, per=K).reshape(-1, K, H)

        def slot(
            step: int, name: str, layer: MaskedDense, x: Array, y: Array, dy: Array | None
        ) -> BoundLayer:
            label, row = f"flow.{step}.{name}", (len(layer.inputs_at),)
            p, g = params.namespace(label), Views() if grads is None else grads.namespace(label)
            x, y, dy = (None if a is None else _rows(a, step) for a in (x, y, dy))
            return BoundLayer(label, layer.bound_to(workspace, row), p, g, x, y, dy, None, None)

        self.pairs = [
            (
                slot(step, "in", into, self.inner, self.hidden, dhidden),
                slot(step, "out", out, self.hidden, self.output, doutput),
            )
            for step in range(flow.length)
            for into, out in [flow.layers(Z, step)]
        ]
        self.layers = tuple(layer for pair in self.pairs for layer in pair)

    def forward(self) -> None:
        """z ← m + σ (z − m)  (E211); log_det = Σ log σ  (E212)."""
        bk, xp, latent, Z = self.bk, self.bk.xp, self.latent, self.latent.latent
        for step, (into, out) in enumerate(self.pairs):
            z, hidden = self.inner[:, :, step], self.hidden[:, :, step]
            into.layer.forward(bk, into.p, into.x, into.y)
            hidden += self.maps[:, None, step]
            xp.tanh(hidden, out=hidden)
            out.layer.forward(bk, out.p, out.x, out.y)
            m, s = self.output[:, :, step, :Z], self.output[:, :, step, Z:]
            sigma, less_m = self.sigma[:, :, step], self.less_m[:, :, step]
            s += KEEP
            sigmoid(bk, s, sigma)
            xp.subtract(z, m, out=less_m)
            xp.multiply(sigma, less_m, out=latent.tmp)
            xp.add(m, latent.tmp, out=self.after(step))
        xp.log(self.sigma, out=self.logs)
        xp.sum(self.logs, axis=(2, 3), out=latent.log_det)

    def grad_inputs(self, weight: Weight) -> None:
        """Back through the maps: to z0, and to the hidden biases of each image  (E213)."""
        xp, latent, Z = self.bk.xp, self.latent, self.latent.latent
        self.dafter[:, :, self.length - 1] = latent.dz
        for step, (into, out) in reversed(list(enumerate(self.pairs))):
            dz, before = self.dafter[:, :, step], self.dbefore(step)
            sigma, hidden = self.sigma[:, :, step], self.hidden[:, :, step]
            dm, ds = self.doutput[:, :, step, :Z], self.doutput[:, :, step, Z:]
            xp.multiply(dz, sigma, out=latent.tmp)
            xp.subtract(dz, latent.tmp, out=dm)
            xp.multiply(latent.tmp, self.less_m[:, :, step], out=ds)
            ds -= weight
            before[...] = latent.tmp
            xp.subtract(1.0, sigma, out=latent.tmp)
            ds *= latent.tmp
            self.send_back(out, self.by_hidden)
            dhidden = self.dhidden[:, :, step]
            xp.multiply(hidden, hidden, out=dhidden)
            xp.subtract(1.0, dhidden, out=dhidden)
            dhidden *= self.by_hidden
            self.send_back(into, self.by_unit)
            before += self.by_unit
        xp.sum(self.dhidden, axis=1, out=self.dmaps)

    def send_back(self, s: BoundLayer, dx: Array) -> None:
        """Write dx (B, K, …), the gradient with respect to what a layer was given."""
        s.layer.grad_input(self.bk, s.p, s.x, s.y, s.dy, dx.reshape(-1, dx.shape[2]), None)


def _rows(a: Array, step: int) -> Array:
    """(B, K, L, N) -> (B · K, N): one map's numbers, a row for each sample."""
    return a.reshape(-1, *a.shape[2:])[:, step]
