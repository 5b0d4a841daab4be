"""The buffers between encoder and decoder, for the estimators that work on them."""

from scratchvae.backend import Array, Number, Weight
from scratchvae.layers import BoundLayer
from scratchvae.memory import Views, Workspace


class LatentBuffers:
    """The arrays between encoder and decoder, for B images and K samples of Z latent units each.

    head = [μ | log σ²] (B, 2Z), std (B, Z), eps and z (B, K, Z); nll (B, K), kl (B, Z) and
    objective (B,) in nats. If gradients are computed, also dz (B, K, Z) and dhead (B, 2Z). All
    have the float type of the backend. ``work`` holds the buffers that an estimator asked for.

    With a flow, z0 = μ + σ ε has a buffer of its own, and the flow maps it to z; log_det (B, K) is
    Σ log |det ∂f/∂z| over its maps; ``flow_inputs`` (B, M) are the columns of the encoder's
    ``output`` beyond the first 2Z, and ``dflow_inputs`` their gradient. Without one, z0 is z, and
    log_det None.
    """

    def __init__(
        self,
        workspace: Workspace,
        samples: int,
        latent: int,
        head: Array,
        dhead: Array | None,
        has_flow: bool = False,
    ) -> None:
        def a_sample(name: str) -> Array:
            return workspace.buffer(f"latent.{name}", latent, per=samples).reshape(
                -1, samples, latent
            )

        self.bk, self.samples, self.latent = workspace.bk, samples, latent
        self.head = self.output = head  # with a flow, head is a part of output
        self.dhead: Array = dhead
        self.doutput: Array = dhead
        self.flow_inputs: Array = None
        self.dflow_inputs: Array = None
        if has_flow:
            self.head, self.flow_inputs = head[:, : 2 * latent], head[:, 2 * latent :]
        if has_flow and dhead is not None:
            self.dhead, self.dflow_inputs = dhead[:, : 2 * latent], dhead[:, 2 * latent :]
        self.std = workspace.buffer("latent.std", latent)
        self.eps, self.z, self.tmp = a_sample("eps"), a_sample("z"), a_sample("tmp")
        self.z0 = self.z  # unless a flow is bound
        self.log_det: Array = None
        if has_flow:
            self.log_det = workspace.buffer("latent.log_det", per=samples).reshape(-1, samples)
        self.flow = BoundFlow(self)
        self.nll = workspace.buffer("likelihood.nll", per=samples).reshape(-1, samples)
        self.kl = workspace.buffer("latent.kl", latent)
        self.kl_tmp = workspace.buffer("latent.kl_tmp", latent)
        self.objective = workspace.buffer("latent.objective")
        self.row_tmp = workspace.buffer("latent.row_tmp")
        self.dz: Array = a_sample("dz") if dhead is not None else None
        self.work = Views()
        self.product = workspace.private("latent.product")  # one number

    def times(self, beta: Number, factor: float) -> Number:
        """factor · beta; in a buffer of this object if beta is a device scalar."""
        if isinstance(beta, float | int):
            return factor * beta
        self.bk.xp.multiply(beta, factor, out=self.product)
        return self.product


class BoundFlow:
    """The map from ``latent.z0`` to ``latent.z``; here the identity: both are one buffer."""

    layers: tuple[BoundLayer, ...] = ()  # those with parameters, the same for all images

    def __init__(self, latent: LatentBuffers) -> None:
        self.latent = latent

    @property
    def reversed_layers(self) -> tuple[BoundLayer, ...]:
        """From the last to the first."""
        return self.layers[::-1]

    def forward(self) -> None:
        """Compute z (B, K, Z) and log_det (B, K) = Σ log |det ∂f/∂z| from z0."""

    def grad_inputs(self, weight: Weight) -> None:
        """Turn dz, the gradient with respect to z, into that with respect to z0, in place.

        Writes dflow_inputs, too. ``weight``, a number or (B, K, 1): that of −log_det.
        """
