"""Normalizing flows: q(z|x) beyond a Gaussian, by a change of variables from z_0 to z.

z_0 = μ + σ ε is carried by L maps to z, and log q(z) = log q(z_0) − Σ log |det ∂f/∂z| of the maps
(E203). The quantities that define a map are further outputs of the encoder, so every image has maps
of its own: Rezende and Mohamed 2015. A flow holds sizes alone; once bound, it has buffers, too.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from scratchvae.backend import Array, Weight, fusible
from scratchvae.errors import whole_number
from scratchvae.latent.buffers import BoundFlow, LatentBuffers
from scratchvae.layers import Parameter
from scratchvae.memory import FlatBuffer, Workspace


class FlowSettings(NamedTuple):
    """The settings of a run from which :meth:`Flow.from_settings` makes a flow."""

    length: int | None = None  # how many maps; None, here and below: the flow's own default
    hidden: int | None = None  # units of the hidden layer of an autoregressive map


class Flow:
    """The map from z_0 to z; here the identity: q(z|x) is the Gaussian of the encoder's head.

    A flow of your own is a subclass with ``inputs`` and ``bind``.
    """

    name = "gaussian"
    length = 0
    default_length = 0
    settings: tuple[str, ...] = ()  # the fields of FlowSettings that from_settings reads

    @classmethod
    def from_settings(cls, settings: FlowSettings) -> "Flow":
        """The flow that these settings describe; ``ConfigError`` if they cannot."""
        return cls()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def require(self, latent: int) -> None:
        """``ConfigError`` unless the flow is one of ``latent`` units."""

    def inputs(self, latent: int) -> int:
        """How many outputs of the encoder it takes per image, beside [μ | log σ²]."""
        return 0

    def parameters(self, latent: int) -> Iterator[Parameter]:
        """The parameters that are the same for all images."""
        return iter(())

    def macs_per_sample(self, latent: int) -> int:
        """Multiply–accumulates of the forward map per sample."""
        return 0

    def bind(
        self,
        workspace: Workspace,
        latent: LatentBuffers,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> "BoundFlow":
        """The flow on the buffers of a latent node."""
        return BoundFlow(latent)


class AmortizedFlow(Flow):
    """A flow of ``length`` maps, each made of ``inputs_per_map(Z)`` outputs of the encoder."""

    default_length = 10
    settings: tuple[str, ...] = ("length",)

    def __init__(self, length: int | None = None) -> None:
        self.length = self.default_length if length is None else length
        whole_number(self.length, "the length of a flow")

    @classmethod
    def from_settings(cls, settings: FlowSettings) -> "Flow":
        return cls(settings.length)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.length})"

    def inputs_per_map(self, latent: int) -> int:
        """How many outputs of the encoder make one map of ``latent`` units."""
        raise NotImplementedError

    def inputs(self, latent: int) -> int:
        return self.length * self.inputs_per_map(latent)


class BoundMaps(BoundFlow):
    """Maps one after the other, on buffers for all L of them at once.

    ``maps`` (B, L, M): the encoder's M outputs for each map, with the gradient ``dmaps``. ``inner``
    (B, K, L, Z): z before each map, of which the first is z0. ``dafter`` (B, K, L, Z): the gradient
    with respect to z after each map. All have the float type of the backend.
    """

    def __init__(self, workspace: Workspace, latent: LatentBuffers, length: int) -> None:
        super().__init__(latent)
        self.bk, self.length, self.workspace = workspace.bk, length, workspace
        self.inner = self.per_sample("inner", latent.latent)
        latent.z0 = self.inner[:, :, 0]  # the maps write by way of tmp: views of one array overlap
        self.maps = latent.flow_inputs.reshape(-1, length, latent.flow_inputs.shape[1] // length)
        if latent.dflow_inputs is not None:
            self.dmaps = latent.dflow_inputs.reshape(-1, *self.maps.shape[1:])
            self.dafter = self.per_sample("dafter", latent.latent)
            self.tmp = self.per_sample("tmp", latent.latent)

    def per_image(self, name: str, *shape: int) -> Array:
        """A buffer (B, L, *shape)."""
        return self.workspace.buffer(f"flow.{name}", self.length, *shape)

    def per_sample(self, name: str, *shape: int) -> Array:
        """A buffer (B, K, L, *shape)."""
        K, rest = self.latent.samples, (self.length, *shape)
        return self.workspace.buffer(f"flow.{name}", *rest, per=K).reshape(-1, K, *rest)

    def after(self, step: int) -> Array:
        """Where a map writes z: (B, K, Z)."""
        return self.latent.z if step + 1 == self.length else self.inner[:, :, step + 1]

    def dbefore(self, step: int) -> Array:
        """Where a map writes the gradient with respect to the z that it was given: (B, K, Z)."""
        return self.latent.dz if step == 0 else self.dafter[:, :, step - 1]


# ---- planar --------------------------------------------------------------------------------------

E = math.e
TINY = 1e-30  # keeps a quotient finite whose numerator vanishes with its denominator


class Planar(AmortizedFlow):
    """z ← z + û tanh(wᵀz + b): a step along û that depends on the distance from a plane.

    The encoder gives [L u | w | b] for each map. û is u moved along w so that wᵀû > −1: only then
    has the map an inverse. Where u is zero the map is the identity. The factor L, the number of
    maps, is there because a training step changes all of them: a change of the encoder's outputs
    moves z no further with many maps than with one.
    """

    name = "planar"

    def inputs_per_map(self, latent: int) -> int:
        """2Z + 1: L u and w (Z) and b."""
        return 2 * latent + 1

    def bind(
        self,
        workspace: Workspace,
        latent: LatentBuffers,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> "BoundPlanar":
        return BoundPlanar(workspace, latent, self.length)


class BoundPlanar(BoundMaps):
    """Planar maps on their buffers; see :class:`Planar`.

    For each map and image, (B, L): dot = wᵀu, square = ‖w‖², q = 1 + wᵀû and
    shift = (wᵀû − wᵀu) / ‖w‖². For each map and sample, (B, K, L): t = tanh(wᵀz + b), slope = tanh′
    and det, the determinant.
    """

    def __init__(self, workspace: Workspace, latent: LatentBuffers, length: int) -> None:
        super().__init__(workspace, latent, length)
        Z = latent.latent
        self.w, self.b = self.maps[:, :, Z:-1], self.maps[:, :, -1]
        self.u, self.u_hat = self.per_image("u", Z), self.per_image("u_hat", Z)
        self.product = self.per_image("product", Z)
        names = ("dot", "square", "q", "shift", "low", "right", "each")
        self.dot, self.square, self.q, self.shift, self.low, self.right, self.each = map(
            self.per_image, names
        )
        self.t, self.slope, self.det, self.terms = map(
            self.per_sample, ("t", "slope", "det", "terms")
        )
        if latent.dflow_inputs is None:
            return
        self.du, self.dw = self.dmaps[:, :, :Z], self.dmaps[:, :, Z:-1]
        self.db, self.da = self.dmaps[:, :, -1], self.per_sample("da")
        self.du_hat = self.per_image("du_hat", Z)
        self.along, self.dq = self.per_image("along"), self.per_image("dq")

    @fusible("planar")
    def forward(self) -> None:
        """z ← z + û t, t = tanh(wᵀz + b)  (E205); log_det = Σ log (q (1 − t²) + t²)  (E206).

        Both terms of the determinant are positive, so that nothing cancels where wᵀû is near −1.
        """
        xp, latent, tmp = self.bk.xp, self.latent, self.latent.tmp
        self.constrain()
        for step in range(self.length):
            z, t = self.inner[:, :, step], self.t[:, :, step]
            xp.multiply(z, self.w[:, None, step], out=tmp)
            xp.sum(tmp, axis=2, out=t)
            t += self.b[:, None, step]
            xp.tanh(t, out=t)
            xp.multiply(self.u_hat[:, None, step], t[:, :, None], out=tmp)
            tmp += z
            self.after(step)[...] = tmp
        xp.multiply(self.t, self.t, out=self.det)
        xp.subtract(1.0, self.det, out=self.slope)
        xp.multiply(self.slope, self.q[:, None], out=self.terms)
        self.det += self.terms
        xp.log(self.det, out=self.terms)
        xp.sum(self.terms, axis=2, out=latent.log_det)

    def constrain(self) -> None:
        """û = u + shift w with wᵀû = log (1 + (e − 1) e^s) − 1 > −1, s = wᵀu  (E205).

        Every logarithm is one of 1 + a small number, and exponents are negative: s and −s have
        forms of their own, between which ``right`` (1 where s > 0, else 0) chooses.
        """
        xp, s, low, right, each = self.bk.xp, self.dot, self.low, self.right, self.each
        xp.multiply(self.maps[:, :, : self.latent.latent], 1 / self.length, out=self.u)
        xp.multiply(self.w, self.u, out=self.product)
        xp.sum(self.product, axis=2, out=s)
        xp.multiply(self.w, self.w, out=self.product)
        xp.sum(self.product, axis=2, out=self.square)
        self.square += TINY
        xp.greater(s.real, 0, out=right)
        xp.negative(s, out=low)
        xp.minimum(s, low, out=low)  # −|s|

        # wᵀû − s = log (1 + c (e^−|s| − 1)) − min(s, 0), c = 1/e on the right and 1 − 1/e else
        xp.multiply(right, 2 / E - 1, out=each)
        each += 1 - 1 / E
        xp.expm1(low, out=self.shift)
        self.shift *= each
        xp.log1p(self.shift, out=self.shift)
        xp.add(s, low, out=each)
        each *= 0.5
        self.shift -= each
        self.shift /= self.square

        # q = max(s, 0) + log (1 + a + b e^−|s|), a, b = e − 2, 1 on the right and 0, e − 1 else
        xp.exp(low, out=self.q)
        xp.multiply(right, 2 - E, out=each)
        each += E - 1
        self.q *= each
        xp.multiply(right, E - 2, out=each)
        self.q += each
        xp.log1p(self.q, out=self.q)
        xp.subtract(s, low, out=each)
        each *= 0.5
        self.q += each

        xp.multiply(self.w, self.shift[:, :, None], out=self.u_hat)
        self.u_hat += self.u

    @fusible("planar grad")
    def grad_inputs(self, weight: Weight) -> None:
        """Back through the maps, then through û  (E207)."""
        xp, latent, tmp = self.bk.xp, self.latent, self.latent.tmp
        inverse = self.terms
        xp.divide(self.slope, self.det, out=inverse)
        inverse *= weight  # minus the gradient with respect to q
        xp.sum(inverse, axis=1, out=self.dq)
        xp.negative(self.dq, out=self.dq)
        xp.subtract(self.q, 1.0, out=self.each)
        xp.multiply(self.t, self.each[:, None], out=self.da)
        self.da *= 2.0
        self.da *= inverse

        self.dafter[:, :, self.length - 1] = latent.dz
        dot = self.det[:, :, 0]  # which has been read
        for step in reversed(range(self.length)):
            dz, da = self.dafter[:, :, step], self.da[:, :, step]
            xp.multiply(dz, self.u_hat[:, None, step], out=tmp)
            xp.sum(tmp, axis=2, out=dot)
            dot *= self.slope[:, :, step]
            da += dot
            xp.multiply(self.w[:, None, step], da[:, :, None], out=tmp)
            tmp += dz
            self.dbefore(step)[...] = tmp

        xp.sum(self.da, axis=1, out=self.db)
        xp.multiply(self.inner, self.da[:, :, :, None], out=self.tmp)
        xp.sum(self.tmp, axis=1, out=self.dw)
        xp.multiply(self.dafter, self.t[:, :, :, None], out=self.tmp)
        xp.sum(self.tmp, axis=1, out=self.du_hat)
        self.constrain_grad()

    def constrain_grad(self) -> None:
        """From dû and dq: the gradient of L u, and what û adds to dw  (E207)."""
        xp, each, ds, along = self.bk.xp, self.each, self.dq, self.along
        xp.multiply(self.du_hat, self.w, out=self.product)
        xp.sum(self.product, axis=2, out=along)
        along /= self.square  # of shift, but for a factor
        xp.negative(self.q, out=each)
        xp.exp(each, out=each)  # 1 − d(wᵀû)/ds
        along_of_dot = self.low
        xp.multiply(along, each, out=along_of_dot)
        xp.subtract(1.0, each, out=each)
        ds *= each
        ds -= along_of_dot

        xp.multiply(self.w, ds[:, :, None], out=self.du)
        self.du += self.du_hat
        self.du *= 1 / self.length
        xp.multiply(self.u, ds[:, :, None], out=self.product)
        self.dw += self.product
        self.du_hat *= self.shift[:, :, None]
        self.dw += self.du_hat
        along *= self.shift
        along *= 2.0
        xp.multiply(self.w, along[:, :, None], out=self.product)
        self.dw -= self.product


# ---- radial --------------------------------------------------------------------------------------


class Radial(AmortizedFlow):
    """z ← z + β h (z − c), h = 1 / (α + ‖z − c‖): away from a centre, or towards it.

    The encoder gives [c | L α̃ | L β̃] for each map; α = log (1 + e^α̃) > 0, and
    β = log (1 + e^β̃) − α is more than −α, without which the map would have no inverse. Where α̃ = β̃
    it is the identity. L, the number of maps, is there as in :class:`Planar`.
    """

    name = "radial"

    def inputs_per_map(self, latent: int) -> int:
        """Z + 2: c (Z), L α̃ and L β̃."""
        return latent + 2

    def bind(
        self,
        workspace: Workspace,
        latent: LatentBuffers,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> "BoundRadial":
        return BoundRadial(workspace, latent, self.length)


class BoundRadial(BoundMaps):
    """Radial maps on their buffers; see :class:`Radial`.

    For each map and image, (B, L): alpha, total = α + β and beta. For each map and sample,
    (B, K, L): r = ‖z − c‖, h, and outer = r² + 2 α r + α (α + β); offset = z − c is (B, K, L, Z).
    """

    def __init__(self, workspace: Workspace, latent: LatentBuffers, length: int) -> None:
        super().__init__(workspace, latent, length)
        Z = latent.latent
        self.c, self.said = self.maps[:, :, :Z], self.maps[:, :, Z:]
        self.raw = self.per_image("raw", 2)  # [α̃ | β̃]
        self.soft, self.low = self.per_image("soft", 2), self.per_image("low", 2)
        self.alpha, self.total = self.soft[:, :, 0], self.soft[:, :, 1]
        self.beta, self.each = self.per_image("beta"), self.per_image("each")
        names = ("r", "h", "outer", "factor", "terms", "more")
        self.r, self.h, self.outer, self.factor, self.terms, self.more = map(self.per_sample, names)
        self.offset = self.per_sample("offset", Z)
        if latent.dflow_inputs is not None:
            self.dc, self.draw = self.dmaps[:, :, :Z], self.dmaps[:, :, Z:]
            self.dr, self.dh, self.dfactor = map(self.per_sample, ("dr", "dh", "dfactor"))
            self.dsoft = self.per_image("dsoft", 2)
            self.dalpha, self.dtotal = self.dsoft[:, :, 0], self.dsoft[:, :, 1]

    @fusible("radial")
    def forward(self) -> None:
        """z ← z + β h y, y = z − c  (E208); log_det = Σ log |det|  (E209).

        With T = α + β > 0, |det| = ((r + T) h)^(Z − 1) (r² + 2 α r + α T) h²: all are positive.
        """
        xp, latent, tmp = self.bk.xp, self.latent, self.latent.tmp
        self.constrain()
        for step in range(self.length):
            z, y = self.inner[:, :, step], self.offset[:, :, step]
            r, h, factor = self.r[:, :, step], self.h[:, :, step], self.factor[:, :, step]
            xp.subtract(z, self.c[:, None, step], out=y)
            xp.multiply(y, y, out=tmp)
            xp.sum(tmp, axis=2, out=r)
            r += TINY
            xp.sqrt(r, out=r)
            xp.add(r, self.alpha[:, None, step], out=h)
            xp.divide(1.0, h, out=h)
            xp.multiply(h, self.beta[:, None, step], out=factor)
            xp.multiply(y, factor[:, :, None], out=tmp)
            tmp += z
            self.after(step)[...] = tmp

        xp.multiply(self.alpha, 2.0, out=self.each)
        xp.add(self.r, self.each[:, None], out=self.outer)
        self.outer *= self.r
        xp.multiply(self.alpha, self.total, out=self.each)
        self.outer += self.each[:, None]

        xp.add(self.r, self.total[:, None], out=self.terms)
        xp.log(self.terms, out=self.terms)
        self.terms *= latent.latent - 1.0
        xp.log(self.outer, out=self.more)
        self.terms += self.more
        xp.log(self.h, out=self.more)
        self.more *= latent.latent + 1.0
        self.terms += self.more
        xp.sum(self.terms, axis=2, out=latent.log_det)

    def constrain(self) -> None:
        """α = log (1 + e^α̃), α + β = log (1 + e^β̃): both positive  (E208)."""
        xp, low, raw = self.bk.xp, self.low, self.raw
        xp.multiply(self.said, 1 / self.length, out=raw)
        xp.negative(raw, out=low)
        xp.minimum(raw, low, out=low)
        xp.exp(low, out=self.soft)
        xp.log1p(self.soft, out=self.soft)
        xp.subtract(raw, low, out=low)
        low *= 0.5
        self.soft += low
        xp.subtract(self.total, self.alpha, out=self.beta)

    @fusible("radial grad")
    def grad_inputs(self, weight: Weight) -> None:
        """Back through the maps, then to [c | L α̃ | L β̃]  (E210)."""
        xp, latent, tmp = self.bk.xp, self.latent, self.latent.tmp
        h, dr, dh, more, dfactor = self.h, self.dr, self.dh, self.more, self.dfactor
        by_outer, by_total = self.outer, self.terms  # minus log_det's gradients of the two factors
        xp.divide(1.0, self.outer, out=by_outer)
        by_outer *= weight
        xp.add(self.r, self.total[:, None], out=by_total)
        xp.divide(latent.latent - 1.0, by_total, out=by_total)
        by_total *= weight
        xp.add(self.r, self.alpha[:, None], out=dr)
        dr *= by_outer
        dr *= -2.0
        dr -= by_total
        xp.divide(-(latent.latent + 1.0), h, out=dh)
        dh *= weight

        self.dafter[:, :, self.length - 1] = latent.dz
        for step in reversed(range(self.length)):
            dz, dy, each = self.dafter[:, :, step], self.offset[:, :, step], more[:, :, step]
            h_here, dh_here, dr_here = h[:, :, step], dh[:, :, step], dr[:, :, step]
            xp.multiply(dz, dy, out=tmp)  # which is still y
            xp.sum(tmp, axis=2, out=dfactor[:, :, step])
            xp.multiply(dfactor[:, :, step], self.beta[:, None, step], out=each)
            dh_here += each
            xp.multiply(h_here, h_here, out=each)
            each *= dh_here
            dr_here -= each
            xp.divide(dr_here, self.r[:, :, step], out=each)
            dy *= each[:, :, None]
            xp.multiply(dz, self.factor[:, :, step, None], out=tmp)
            dy += tmp
            xp.add(dz, dy, out=tmp)
            self.dbefore(step)[...] = tmp
        xp.sum(self.offset, axis=1, out=self.dc)
        xp.negative(self.dc, out=self.dc)

        dfactor *= h
        xp.sum(dfactor, axis=1, out=self.each)  # dβ
        xp.multiply(by_outer, self.alpha[:, None], out=more)
        more += by_total
        xp.sum(more, axis=1, out=self.dtotal)
        xp.subtract(self.each, self.dtotal, out=self.dtotal)
        xp.multiply(h, h, out=more)
        more *= dh
        xp.multiply(self.r, 2.0, out=dr)
        dr += self.total[:, None]
        dr *= by_outer
        more += dr
        xp.sum(more, axis=1, out=self.dalpha)
        self.dalpha += self.each
        xp.negative(self.dalpha, out=self.dalpha)

        xp.negative(self.soft, out=self.low)
        xp.expm1(self.low, out=self.low)
        self.dsoft *= self.low
        xp.multiply(self.dsoft, -1 / self.length, out=self.draw)
