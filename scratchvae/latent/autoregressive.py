"""The inverse autoregressive flow: each unit is scaled and shifted by functions of those before it.

Kingma et al. 2016, with the masks of Germain et al. 2015 (MADE).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from scratchvae.backend import Array, Backend, Weight, fusible
from scratchvae.errors import ConfigError, whole_number
from scratchvae.latent.buffers import BoundFlow, LatentBuffers
from scratchvae.latent.flows import AmortizedFlow, FlowSettings
from scratchvae.layers import Constant, GlorotUniform, Layer, Parameter, sigmoid
from scratchvae.layers.activations import tanh, tanh_grad
from scratchvae.layers.base import WHOLE
from scratchvae.layers.initializers import Initializer
from scratchvae.layers.sequential import BoundLayer
from scratchvae.memory import FlatBuffer, Shape, Views, Workspace

KEEP = 2.0  # added to the sigmoid's input: at the start σ = 0.88, so that a map nearly keeps z


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

    def inputs_per_map(self, latent: int) -> int:
        """H: the biases of the hidden layer."""
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
    """y = x (W ∘ M) + b, where an output depends only on the inputs before it in an order.

    ``inputs_at`` and ``outputs_at``: the place of each in that order; with ``or_equal`` an output
    also depends on the inputs at its own place. Parameters: W (I, O) and, with ``bias``, b (O,).
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

    def mask_values(self) -> list[list[float]]:
        """The mask (I, O): 1 where an output depends on an input, else 0."""
        less = 0 if self.or_equal else 1
        return [[float(o - i >= less) for o in self.outputs_at] for i in self.inputs_at]

    def bound_to(self, workspace: Workspace, shape: Shape, per: int = 1) -> "MaskedDense":
        other, size = copy.copy(self), (len(self.inputs_at), len(self.outputs_at))
        places = f"{self.inputs_at} {self.outputs_at} {self.or_equal}"
        other.mask = workspace.private(f"mask {places}", *size)
        workspace.bk.load(self.mask_values(), other.mask)
        other.masked = workspace.private("masked weights", *size)
        return other

    def weights(self, bk: Backend, p: Views) -> Array:
        """W ∘ M  (E212)."""
        mask = bk.array(self.mask_values()) if self.mask is None else self.mask
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
        mask = bk.array(self.mask_values()) if self.mask is None else self.mask
        dW = g.W[rows]
        bk.gemm(x.T[rows], dy, dW)
        dW *= mask[rows]
        if self.bias and rows.stop in (None, x.shape[1]):
            bk.sum_rows(dy, g.b)


class Gate(NamedTuple):
    """The arrays of one map, with a row for each of the N = B · K samples.

    z, sigma and after (N, Z), output = [m | s] (N, 2Z): after = m + σ (z − m).
    """

    z: Array
    output: Array
    sigma: Array
    after: Array


@fusible("gate")
def gate(bk: Backend, arrays: Gate, log_det: Array, tmp: tuple[Array, Array]) -> None:
    """after = m + σ (z − m), σ = sigmoid(s + 2)  (E211); log_det += Σ log σ  (E212).

    log_det (N,); ``tmp``: two buffers, like z and like log_det.
    """
    z, output, sigma, after = arrays
    xp, latent, (logs, total) = bk.xp, z.shape[1], tmp
    m, s = output[:, :latent], output[:, latent:]
    xp.add(s, KEEP, out=sigma)
    sigmoid(bk, sigma, sigma)
    xp.subtract(z, m, out=after)
    after *= sigma
    after += m
    xp.log(sigma, out=logs)
    xp.sum(logs, axis=1, out=total)
    log_det += total


@fusible("gate grad")
def gate_grad(
    bk: Backend, arrays: Gate, weight: Weight, dz: Array, doutput: Array, tmp: Array
) -> None:
    """dm = (1 − σ) dz, ds = (1 − σ) (σ (z − m) dz − weight); then dz ← σ dz  (E213).

    dz (N, Z), doutput = [dm | ds] (N, 2Z); ``weight``: that of −log_det, a number or (N, 1);
    ``tmp``: a buffer like z.
    """
    z, output, sigma, _ = arrays
    xp, latent = bk.xp, z.shape[1]
    dm, ds = doutput[:, :latent], doutput[:, latent:]
    xp.multiply(sigma, dz, out=tmp)
    xp.subtract(dz, tmp, out=dm)
    dz[...] = tmp
    xp.subtract(z, output[:, :latent], out=ds)
    ds *= dz
    ds -= weight
    xp.subtract(1.0, sigma, out=tmp)
    ds *= tmp


class AutoregressiveMap(NamedTuple):
    """One map on its buffers: the two layers of its network, and the gate.

    Image by image: ``biases`` (B, 1, H) are the encoder's outputs, ``by_image`` (B, K, H) is the
    hidden layer and ``dby_image`` its gradient.
    """

    into: BoundLayer
    out: BoundLayer
    biases: Array
    by_image: Array
    dby_image: Array
    gate: Gate

    @property
    def hidden(self) -> Array:
        """g, the hidden layer of its network, (B · K, H)."""
        return self.out.x


class BoundAutoregressive(BoundFlow):
    """Autoregressive maps on their buffers; see :class:`InverseAutoregressive`."""

    def __init__(
        self,
        flow: InverseAutoregressive,
        workspace: Workspace,
        latent: LatentBuffers,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> None:
        super().__init__(latent)
        bk, K, Z, H, L = workspace.bk, latent.samples, latent.latent, flow.hidden, flow.length
        self.bk = bk

        def rows(name: str, *shape: int) -> Array:
            return workspace.buffer(f"flow.{name}", *shape, per=K)

        def slot(
            step: int, name: str, layer: MaskedDense, x: Array, y: Array, dy: Array
        ) -> BoundLayer:
            label, row = f"flow.{step}.{name}", (len(layer.inputs_at),)
            p, g = params.namespace(label), Views() if grads is None else grads.namespace(label)
            return BoundLayer(label, layer.bound_to(workspace, row), p, g, x, y, dy, None, None)

        z = [*(rows(f"{step}.z", Z) for step in range(L)), latent.z.reshape(-1, Z)]
        latent.z0 = z[0].reshape(latent.z.shape)
        self.maps = []
        for step in range(L):
            hidden, output = rows(f"{step}.hidden", H), rows(f"{step}.output", 2 * Z)
            dhidden: Array = None
            doutput: Array = None
            if grads is not None:
                dhidden, doutput = rows(f"{step}.dhidden", H), rows(f"{step}.doutput", 2 * Z)
            into, out = flow.layers(Z, step)
            self.maps.append(
                AutoregressiveMap(
                    slot(step, "in", into, z[step], hidden, dhidden),
                    slot(step, "out", out, hidden, output, doutput),
                    latent.flow_inputs[:, None, step * H : (step + 1) * H],
                    hidden.reshape(-1, K, H),
                    None if grads is None else dhidden.reshape(-1, K, H),
                    Gate(z[step], output, rows(f"{step}.sigma", Z), after=z[step + 1]),
                )
            )
        self.layers = tuple(layer for each in self.maps for layer in (each.into, each.out))
        self.tmp, self.log_det = (rows("tmp", Z), rows("total")), latent.log_det.reshape(-1)
        if grads is not None:
            self.dz, self.by_unit = latent.dz.reshape(-1, Z), rows("by_unit", Z)
            self.by_hidden = rows("by_hidden", H)
            self.dbiases = latent.dflow_inputs.reshape(-1, L, H)

    def forward(self) -> None:
        """z ← m + σ (z − m), [m | s] = tanh(z (W ∘ M) + c) (V ∘ N) + b  (E211, E212)."""
        bk = self.bk
        self.log_det.fill(0)
        for each in self.maps:
            into, out, hidden = each.into, each.out, each.hidden
            into.layer.forward(bk, into.p, into.x, hidden)
            bk.xp.add(each.by_image, each.biases, out=each.by_image)
            bk.compute(tanh, hidden, hidden)
            out.layer.forward(bk, out.p, hidden, out.y)
            bk.compute(gate, each.gate, self.log_det, self.tmp)

    def grad_inputs(self, weight: Weight) -> None:
        """Back through the maps: to z0, and to the hidden biases of each image  (E213)."""
        bk, dz, (tmp, _) = self.bk, self.dz, self.tmp
        of_rows = weight if isinstance(weight, float) else weight.reshape(-1, 1)
        for step, each in reversed(list(enumerate(self.maps))):
            into, out = each.into, each.out
            bk.compute(gate_grad, each.gate, of_rows, dz, out.dy, tmp)
            self.send_back(out, into.dy)
            bk.compute(tanh_grad, each.hidden, into.dy, into.dy, self.by_hidden)
            self.send_back(into, self.by_unit)
            dz += self.by_unit
            bk.xp.sum(each.dby_image, axis=1, out=self.dbiases[:, step])

    def send_back(self, s: BoundLayer, dx: Array) -> None:
        """Write dx, the gradient with respect to a layer's input."""
        s.layer.grad_input(self.bk, s.p, s.x, s.y, s.dy, dx, None)
