"""Seven bugs of flows in public code, planted forward and backward, so that gradients agree.

What finds them are facts about volumes and densities: a Jacobian by complex step, a map that must
not fold space, and the divergence written out again.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.backend.base import Number, Weight
from scratchvae.gradcheck.measure import gradient_error
from scratchvae.gradcheck.points import point
from scratchvae.latent import LatentBuffers, MonteCarloKL, Planar, estimators, reparameterize_grad
from scratchvae.latent.flows import BoundPlanar
from scratchvae.latent.gaussian import log_ratio_grad
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.selfcheck.mutation.historical import Replacement, everywhere
from scratchvae.selfcheck.mutation.invisible import Invisible
from scratchvae.types import Function

ENTRY = "ELBO planar flow"
MAPS, IMAGES, SAMPLES, UNITS = 3, 4, 2, 3
STEP = 2.0**-80
Real = dict[str, Function]


def planted(**methods: Function) -> list[Replacement]:
    """Methods of :class:`BoundPlanar` by name; each is handed the real ones, then its arguments."""
    real: Real = {name: getattr(BoundPlanar, name) for name in vars(BoundPlanar)}
    return [(BoundPlanar, name, _method(function, real)) for name, function in methods.items()]


def _method(function: Function, real: Real) -> Function:
    return lambda self, *args: function(real, self, *args)


# ---- the bugs ------------------------------------------------------------------------------------


def norm_for_its_square() -> list[Replacement]:
    """û = u + (m − s) w / ‖w‖."""

    def constrain(real: Real, self: BoundPlanar) -> None:
        real["constrain"](self)
        norm = self.bk.xp.sqrt(self.square)
        self.shift *= norm
        self.square[...] = norm
        self.u_hat[...] = self.u + self.shift[:, :, None] * self.w

    def constrain_grad(real: Real, self: BoundPlanar) -> None:
        real["constrain_grad"](self)  # which has taken the derivative of a square
        of_square = self.along[:, :, None] * self.w
        self.dw += of_square - of_square / (2 * self.square[:, :, None])

    return planted(constrain=constrain, constrain_grad=constrain_grad)


def no_constraint() -> list[Replacement]:
    """û = u, and the logarithm of the determinant's absolute value."""

    def constrain(real: Real, self: BoundPlanar) -> None:
        real["constrain"](self)
        self.u_hat[...] = self.u
        self.q[...] = 1.0 + self.dot

    def forward(real: Real, self: BoundPlanar) -> None:
        real["forward"](self)
        self.latent.log_det[...] = 0.5 * self.bk.xp.sum(self.bk.xp.log(self.det * self.det), axis=2)

    def constrain_grad(real: Real, self: BoundPlanar) -> None:
        self.du[...] = (self.du_hat + self.w * self.dq[:, :, None]) / self.length
        self.dw += self.u * self.dq[:, :, None]

    return planted(constrain=constrain, forward=forward, constrain_grad=constrain_grad)


def prior_of_z0() -> list[Replacement]:
    """log p(z_0) for log p(z_K)."""
    real = estimators.sampled_kl

    def sampled_kl(latent: LatentBuffers) -> None:
        after, latent.z = latent.z, latent.z0
        real(latent)
        latent.z = after

    def grad_head(self: MonteCarloKL, latent: LatentBuffers, weight: float, beta: Number) -> None:
        each = latent.times(beta, weight / latent.samples)
        latent.flow.grad_inputs(each)
        log_ratio_grad(latent.bk, latent.z0, each, latent.dz, latent.tmp)
        reparameterize_grad(latent.bk, latent.std, latent.eps, latent.dz, latent.dhead, latent.tmp)
        latent.dhead[:, latent.latent :] -= latent.times(beta, 0.5 * weight)

    return [*everywhere(real, sampled_kl), (MonteCarloKL, "grad_head", grad_head)]


def summed_over_the_batch() -> list[Replacement]:
    """Every image's log |det| is that of all images together."""

    def forward(real: Real, self: BoundPlanar) -> None:
        real["forward"](self)
        self.latent.log_det[...] = self.bk.xp.sum(self.latent.log_det, axis=0)

    def grad_inputs(real: Real, self: BoundPlanar, weight: Weight) -> None:
        real["grad_inputs"](self, weight * len(self.latent.log_det))

    return planted(forward=forward, grad_inputs=grad_inputs)


def all_at_z0() -> list[Replacement]:
    """The determinants of all maps at z_0: z is not updated inside the sum."""

    def at_z0(self: BoundPlanar) -> tuple[NDArray, NDArray, NDArray]:
        xp, z0 = self.bk.xp, self.latent.z0[:, :, None]
        t = xp.tanh(xp.sum(z0 * self.w[:, None], axis=3) + self.b[:, None])
        return t, 1 - t * t, self.q[:, None] * (1 - t * t) + t * t

    def forward(real: Real, self: BoundPlanar) -> None:
        real["forward"](self)
        _, _, det = at_z0(self)
        self.latent.log_det[...] = self.bk.xp.sum(self.bk.xp.log(det), axis=2)

    def grad_inputs(real: Real, self: BoundPlanar, weight: Weight) -> None:
        real["grad_inputs"](self, 0.0)
        t, slope, det = at_z0(self)
        share = weight * slope / det
        along = 2 * t * (self.q[:, None] - 1) * share
        ds = -np.sum(share, axis=1) * (1 - np.exp(-self.q))
        self.du += self.w * ds[:, :, None] / self.length
        self.dw += self.u * ds[:, :, None]
        self.dw += np.sum(self.latent.z0[:, :, None] * along[..., None], axis=1)
        self.db += np.sum(along, axis=1)
        self.latent.dz += np.sum(self.w[:, None] * along[..., None], axis=2)

    return planted(forward=forward, grad_inputs=grad_inputs)


def sign() -> list[Replacement]:
    """log q(z_0) + log |det|."""

    def forward(real: Real, self: BoundPlanar) -> None:
        real["forward"](self)
        self.latent.log_det *= -1

    def grad_inputs(real: Real, self: BoundPlanar, weight: Weight) -> None:
        real["grad_inputs"](self, -weight)

    return planted(forward=forward, grad_inputs=grad_inputs)


def untested_branch() -> list[Replacement]:
    """With several samples per image, all have the first one's log |det|."""

    def forward(real: Real, self: BoundPlanar) -> None:
        real["forward"](self)
        if self.latent.samples > 1:
            self.latent.log_det[...] = self.latent.log_det[:, :1].copy()

    def grad_inputs(real: Real, self: BoundPlanar, weight: Weight) -> None:
        if self.latent.samples > 1:
            first = np.zeros((*self.latent.log_det.shape, 1))
            first[:, 0] = weight * self.latent.samples
            weight = first
        real["grad_inputs"](self, weight)

    return planted(forward=forward, grad_inputs=grad_inputs)


# ---- what finds them -----------------------------------------------------------------------------


def carried(numbers: NDArray, z0: NDArray) -> LatentBuffers:
    """Samples z0 (B, K, Z), carried on by the planar maps of ``numbers`` (B, L, 2Z + 1)."""
    (B, K, Z), L = z0.shape, numbers.shape[1]
    bk = get_backend("cpu", "complex128" if np.iscomplexobj(z0) else "float64")
    workspace, head = Workspace(bk, B), np.zeros((B, 2 * Z + L * (2 * Z + 1)))
    head[:, 2 * Z :] = numbers.reshape(B, -1)
    latent = LatentBuffers(workspace, K, Z, bk.array(head), None, has_flow=True)
    latent.flow = Planar(L).bind(workspace, latent, FlatBuffer(bk, Layout({})), None)
    latent.eps[...] = latent.z0[...] = z0
    latent.flow.forward()
    return latent


def numbers(maps: int) -> NDArray:
    """Outputs of an encoder for planar maps whose u points against w, where the constraint acts."""
    made = 1.5 * point((IMAGES, maps, 2 * UNITS + 1), 0, "planar numbers")
    made[:, :, :UNITS] -= 1.5 * made[:, :, UNITS:-1]
    return np.asarray(made)


def log_det_is_the_jacobians() -> float:
    """log |det| of every sample is that of the Jacobian by complex step."""
    made, z0 = numbers(MAPS), point((IMAGES, SAMPLES, UNITS), 0, "z0")
    found = carried(made, z0).log_det
    exact = np.empty(found.shape)
    for n in range(IMAGES):
        for k in range(SAMPLES):
            along = (z0[n, k] + 1j * STEP * np.eye(UNITS))[None]
            jacobian = carried(made[n : n + 1], along).z[0].imag / STEP
            exact[n, k] = np.linalg.slogdet(jacobian)[1]
    return gradient_error(found, exact)


def no_map_folds() -> float:
    """Along w a planar map is increasing: how far it goes back is 0."""
    made = numbers(1)
    w = made[:, 0, UNITS:-1]
    z = carried(made, np.linspace(-4, 4, 401)[:, None] * w[:, None]).z
    return float(max(0.0, -np.diff(np.sum(z * w[:, None], axis=2), axis=1).min()))


def kl_with_a_flow() -> float:
    """The sampled KL is log q(z_0) − log |det| − log p(z), written out again."""
    latent = carried(numbers(MAPS), point((IMAGES, SAMPLES, UNITS), 0, "z0"))
    latent.head[...] = 0  # q(z_0) = N(0, I)
    estimators.sampled_kl(latent)
    ratio = 0.5 * np.sum(latent.z**2 - latent.z0**2, axis=2) - latent.log_det
    return gradient_error(np.sum(latent.kl, axis=1), np.mean(ratio, axis=1))


jacobian = partial(Invisible, entry=ENTRY, oracle=log_det_is_the_jacobians)
FLOW_BUGS: tuple[Invisible, ...] = (
    jacobian("‖w‖ for ‖w‖² in a planar map's û", make=norm_for_its_square),
    Invisible("a planar map without its constraint", ENTRY, no_constraint, no_map_folds),
    Invisible("p(z₀) for p(z_K) after a flow", ENTRY, prior_of_z0, kl_with_a_flow),
    jacobian("log |det| summed over the batch", make=summed_over_the_batch),
    jacobian("z not updated inside the sum of log |det|", make=all_at_z0),
    jacobian("the sign of log |det|", make=sign),
    jacobian("a branch for several samples that no test runs", make=untested_branch),
)
