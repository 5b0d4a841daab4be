"""The variational autoencoder, put together by hand: Kingma and Welling 2014, algorithm 1."""

import copy
import math
from collections.abc import Iterator, Sequence

from scratchvae.backend import Array, Backend, HostArray, Number
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.errors import ConfigError, call_writer, require_instance
from scratchvae.latent import (
    Estimator,
    Flow,
    LatentBuffers,
    default_estimator,
    reparameterize,
)
from scratchvae.layers import (
    HEAD_STARTS,
    INITIALIZATIONS,
    BoundSequential,
    Dense,
    Meetings,
    Parameter,
    Sequential,
    complete,
)
from scratchvae.likelihoods import Bernoulli, Likelihood
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.models.condition import Condition
from scratchvae.models.specs import dense_layers, with_head


class VAE:
    """An encoder, a decoder and a likelihood. Holds sizes; parameters and buffers are passed in.

    Parameters
    ----------
    pixels : int
        D, the numbers per image.
    encoder : Sequential
        Maps rows of D numbers to [μ | log σ²], 2 · latent_dim numbers, and to those of a flow.
    decoder : Sequential
        Maps z, latent_dim numbers, to the logits of the likelihood.
    likelihood : Likelihood, optional
        p(x|z); a Bernoulli unless given.
    latent_dim : int
        Z, the number of latent units.
    beta : float
        The weight of the KL. With 0 the model is an autoencoder: z is still drawn with σ, but
        nothing keeps the encoder from making σ small.
    samples : int
        K, the draws of z per image.
    estimator : Estimator, optional
        Of the bound and its gradient; unless given, E2 with the analytic KL: reconstruction +
        beta · KL, in nats per image. With a flow the KL is one by Monte Carlo.
    flow : Flow, optional
        What makes q(z|x) more than a Gaussian: Planar(), Radial() or one of your own.

    Raises
    ------
    ConfigError
        For sizes that do not fit each other, and for settings that the estimator does not allow.
    """

    condition: Condition = Condition()  # what is given with an image and not modelled: nothing

    def __init__(
        self,
        pixels: int,
        encoder: Sequential,
        decoder: Sequential,
        likelihood: Likelihood | None = None,
        *,
        latent_dim: int,
        beta: float = 1.0,
        samples: int = 1,
        estimator: Estimator | None = None,
        flow: Flow | None = None,
    ) -> None:
        likelihood = Bernoulli() if likelihood is None else likelihood
        flow = Flow() if flow is None else flow
        require_instance(flow, Flow, "flow", "scratchvae.latent.Planar()")
        estimator = default_estimator(flow) if estimator is None else estimator
        for name, part in (("encoder", encoder), ("decoder", decoder)):
            require_instance(part, Sequential, name, "Sequential(Dense(16), ReLU(), …)")
        require_instance(likelihood, Likelihood, "likelihood", "scratchvae.likelihoods.Bernoulli()")
        require_instance(estimator, Estimator, "estimator", "scratchvae.latent.AnalyticKL()")
        if likelihood.noise not in ("uniform", "normal"):
            raise ConfigError(
                f"{type(likelihood).__name__}.noise is {likelihood.noise!r}, but its sampler can "
                "be fed 'uniform' or 'normal' noise"
            )
        if pixels < 1 or latent_dim < 1 or samples < 1:
            raise ConfigError(
                "pixels, latent_dim and samples must be at least 1, "
                f"not {pixels}, {latent_dim} and {samples}"
            )
        if not 0 <= beta < float("inf"):
            raise ConfigError(f"beta must be a number that is not negative, not {beta}")
        self.pixels, self.latent_dim = pixels, latent_dim
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.beta, self.samples = float(beta), samples
        self.estimator, self.flow = estimator, flow
        flow.require(latent_dim)
        estimator.require(samples, self.beta, flow)
        head = encoder.infer_shape((pixels,))
        columns = 2 * latent_dim + flow.inputs(latent_dim)
        if head != (columns,):
            for_flow = f" with the flow {flow!r}" if flow.length else ""
            raise ConfigError(
                f"the encoder's output has shape {head}, but [mu | logvar] of "
                f"{latent_dim} latent units{for_flow} has {columns} columns"
            )
        modelled, (_, code) = self.modelled, self.networks()["decoder"]
        logits = decoder.infer_shape((code,))
        if math.prod(logits) != modelled * likelihood.logits_per_pixel:
            expected = f"{modelled} pixels"
            if likelihood.logits_per_pixel > 1:
                expected += f" of {likelihood.logits_per_pixel} logits each"
            raise ConfigError(f"the decoder's output has shape {logits}, expected {expected}")
        self.layout = Layout({p.name: p.shape for p in self._parameters()})
        self.first_logits: HostArray | None = None

    @classmethod
    def mlp(
        cls,
        pixels: int,
        hidden: int | Sequence[int] = (400, 400),
        *,
        latent_dim: int = 2,
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        init: str = "glorot-uniform",
        head: str = "logvar",
        beta: float = 1.0,
        samples: int = 1,
        estimator: Estimator | None = None,
        heads: str = "joint",
        flow: Flow | None = None,
    ) -> "VAE":
        """A VAE of dense layers; the decoder has the encoder's ``hidden`` sizes in reverse.

        ``hidden``: their sizes, or the size of a single one.

        ``activation``: relu, tanh, sigmoid or module:Class; ``init``: a key of
        ``layers.INITIALIZATIONS``; ``head``: what the second half of the encoder's output means,
        "logvar" or "logstd"; ``heads``: how its two halves start, a key of
        ``layers.HEAD_STARTS``. The rest is as in :class:`VAE`. Raises ``ConfigError`` for unknown
        names and invalid sizes.
        """
        for name, value, known in (
            ("initialization", init, INITIALIZATIONS),
            ("head", head, ("logvar", "logstd")),
            ("heads", heads, tuple(HEAD_STARTS)),
        ):
            if value not in known:
                raise ConfigError(f"{name} {value!r} is not one of {', '.join(known)}")
        if latent_dim < 1:
            raise ConfigError(f"latent_dim must be at least 1, not {latent_dim}")

        start = INITIALIZATIONS[init]
        likelihood = Bernoulli() if likelihood is None else likelihood
        require_instance(likelihood, Likelihood, "likelihood", "scratchvae.likelihoods.Bernoulli()")
        logits = Dense(pixels * likelihood.logits_per_pixel, start)
        sizes = [hidden] if isinstance(hidden, int) else list(hidden)
        return cls(
            pixels,
            with_head(dense_layers(sizes, activation, start), latent_dim, head, start, heads, flow),
            Sequential(*dense_layers(sizes[::-1], activation, start), logits),
            likelihood,
            latent_dim=latent_dim,
            beta=beta,
            samples=samples,
            estimator=estimator,
            flow=flow,
        )

    def __repr__(self) -> str:
        flow = f", flow={self.flow!r}" if self.flow.length else ""
        return (
            f"VAE({self.pixels}, {self.encoder!r}, {self.decoder!r}, {self.likelihood!r}, "
            f"latent_dim={self.latent_dim}, beta={self.beta:g}, samples={self.samples}, "
            f"estimator={self.estimator!r}{flow})"
        )

    @property
    def modelled(self) -> int:
        """How many numbers of a row p(x|z) models: here all."""
        return self.pixels

    @property
    def evaluated(self) -> "VAE":
        """The model that encodes, decodes and is evaluated, with the same parameters: itself."""
        return self

    def networks(self) -> dict[str, tuple[Sequential, int]]:
        """Its networks by name, each with the number of its inputs per row."""
        return {
            "encoder": (self.encoder, self.pixels),
            "decoder": (self.decoder, self.latent_dim),
        }

    def _parameters(self) -> Iterator[Parameter]:
        """Every parameter: the flow's, those of the networks, the likelihood's."""
        for p in self.flow.parameters(self.latent_dim):
            yield p._replace(name=f"flow.{p.name}")
        for part, (layers, row) in self.networks().items():
            for p in layers.parameters((row,)):
                yield p._replace(name=f"{part}.{p.name}")
        for name, (shape, init) in self.likelihood.parameters(self.modelled).items():
            yield Parameter(f"likelihood.{name}", shape, init, fans=(1, 1))

    def macs_per_image(self) -> int:
        """Multiply–accumulates of the forward pass per image, with all its samples."""
        networks = self.networks()
        decoder, code = networks.pop("decoder")
        once = sum(layers.macs_per_row((row,)) for layers, row in networks.values())
        flow = self.flow.macs_per_sample(self.latent_dim)
        return once + self.samples * (flow + decoder.macs_per_row((code,)))

    def initial_parameters(self, bk: Backend, seed: int = 0) -> FlatBuffer:
        """New parameters on ``bk``, each drawn on the host from a stream named after it (E25).

        The head [μ | log σ²] starts as it does without the further outputs of a flow.
        """
        params = FlatBuffer(bk, self.layout)
        head, last = 2 * self.latent_dim, f"encoder.{len(self.encoder.layers) - 1}."
        columns = head + self.flow.inputs(self.latent_dim)
        for p in self._parameters():
            stream = Stream.named(seed, Purpose.INITIAL_WEIGHTS, p.name)
            values = p.init(p.shape, *p.fans, stream)
            if columns > head and p.name.startswith(last) and p.shape[-1] == columns:
                of_head = *p.shape[:-1], head
                values[..., :head] = p.init(of_head, p.fans[0], head, stream)
            bk.load(values, params[p.name])
        if self.first_logits is not None:
            bk.load(self.first_logits, params[self._output_bias])
        return params

    def with_first_logits(self, logits: HostArray) -> "VAE":
        """The same model, whose output bias starts at these ``logits`` (D,).

        Raises ``ConfigError`` for another shape, and for a decoder that does not end with a bias
        for each logit.
        """
        if self.layout.shapes.get(self._output_bias) != logits.shape:
            raise ConfigError(
                f"the decoder ends with {self.decoder.layers[-1]!r}, which has no bias for each of "
                f"{logits.size} logits that could start at the training mean: end it with a dense "
                "layer"
            )
        other = copy.copy(self)
        other.first_logits = logits
        return other

    @property
    def _output_bias(self) -> str:
        """The name of the bias of the decoder's last layer."""
        return f"decoder.{len(self.decoder.layers) - 1}.b"

    def with_samples(self, samples: int) -> "VAE":
        """The same model with another number of samples per image; ``ConfigError`` below 1."""
        if samples < 1:
            raise ConfigError(f"samples must be at least 1, not {samples}")
        other = copy.copy(self)
        other.samples = samples
        return other

    def with_estimator(self, estimator: Estimator) -> "VAE":
        """The same model with another estimator of its bound.

        Raises ``ConfigError`` for an estimator that cannot be trained with its samples and beta.
        """
        estimator.require(self.samples, self.beta, self.flow)
        other = copy.copy(self)
        other.estimator = estimator
        return other

    def bind(
        self, workspace: Workspace, params: FlatBuffer, grads: FlatBuffer | None = None
    ) -> "BoundVAE":
        """The model on the buffers of ``workspace``, one row per image.

        With ``grads`` it can compute gradients, too; ``ConfigError`` if the estimator does not
        allow its samples and beta.
        """
        if grads is not None:
            self.estimator.require(self.samples, self.beta, self.flow)
        return BoundVAE(self, workspace, params, grads)


class BoundVAE:
    """A VAE on its buffers: write ``x`` and ``eps``, call a method, read its results.

    For B images and K samples of each, in the float type of the backend: x (B, D), eps and z
    (B, K, Z), head = [μ | log σ²] (B, 2Z), std (B, Z), logits (B, K, D), or several per pixel;
    in nats, nll (B, K), kl (B, Z) and the estimator's objective (B,), which for E2 is
    1/K Σ_k nll + beta Σ_j kl.
    """

    def __init__(
        self, vae: VAE, workspace: Workspace, params: FlatBuffer, grads: FlatBuffer | None
    ) -> None:
        bk, K, Z, D = workspace.bk, vae.samples, vae.latent_dim, vae.modelled
        self.vae, self.bk, self.likelihood = vae, bk, vae.likelihood
        self.estimator, self.rows = vae.estimator, workspace.n_rows

        self.x = workspace.buffer("x", vae.pixels)
        self.encoder = vae.encoder.bind(workspace, "encoder", self.x, None, params, grads)
        dhead = None if grads is None else self.encoder.dy
        has_flow = vae.flow.length > 0
        self.latent = latent = LatentBuffers(workspace, K, Z, self.encoder.y, dhead, has_flow)
        latent.work = vae.estimator.work(workspace, K, Z)
        self.flow = latent.flow = vae.flow.bind(workspace, latent, params, grads)
        self.head, self.std, self.eps, self.z = latent.head, latent.std, latent.eps, latent.z
        self.nll, self.kl, self.objective = latent.nll, latent.kl, latent.objective

        code, dcode = self.bind_code(workspace)
        self.decoder = vae.decoder.bind(workspace, "decoder", code, dcode, params, grads, per=K)
        self.networks: tuple[BoundSequential, ...] = (self.encoder, self.decoder)
        per_image = D * self.likelihood.logits_per_pixel
        self.logits = self.decoder.y.reshape(-1, K, per_image)
        self.x_each = self.bind_modelled(workspace)  # the image beside each of its samples
        self.work = self.likelihood.work(workspace, D, K)
        self.p_x = params.namespace("likelihood")

        if grads is None:
            return
        self.g_x = grads.namespace("likelihood")
        self.dhead, self.dz = latent.dhead, latent.dz
        dlogits: Array = self.decoder.dy
        self.dlogits = dlogits.reshape(-1, K, per_image)

    def bind_code(self, workspace: Workspace) -> tuple[Array, Array | None]:
        """The input of the decoder, a row for each sample, and its gradient: here z itself."""
        z, dz = self.latent.z, self.latent.dz
        return z.reshape(-1, z.shape[2]), None if dz is None else dz.reshape(-1, z.shape[2])

    def bind_modelled(self, workspace: Workspace) -> Array:
        """The numbers that p(x|z) models, (B, 1, D): here all of ``x``."""
        return self.x.reshape(-1, 1, self.vae.pixels)

    def run_encoder(self) -> None:
        """Compute head, std and z: q(z|x) = N(μ, diag σ²) of every image, and samples of it.

        A flow, if there is one, then maps the samples.
        """
        self.encoder.forward()
        self.draw_z()

    def draw_z(self) -> None:
        """Compute std and z from head and eps  (E12), then apply the flow if there is one."""
        reparameterize(self.bk, self.head, self.std, self.eps, self.latent.z0)
        self.bk.perform(self.flow.forward)

    def centres(self) -> Array:
        """μ (B, Z) of every image, mapped by the flow if there is one; overwrites eps and z."""
        if not self.vae.flow.length:
            return self.head[:, : self.vae.latent_dim]
        self.eps.fill(0)
        self.draw_z()
        return self.z[:, 0]

    def run_decoder(self) -> None:
        """Compute the logits of p(x|z) for every z."""
        self.make_code()
        self.decoder.forward()

    def make_code(self) -> None:
        """Compute the input of the decoder, which here is z itself."""

    def means(self) -> None:
        """Compute E[x|z] from the logits, of one sample each, over the image in ``x_each``."""
        call_writer(self.likelihood.mean, "out[...] = …", self.bk, self.logits, self.x_each)

    def draw(self, noise: Array, out: Array) -> None:
        """Draw out ~ p(x|z), (B, K, D), from ``noise`` like it; overwrites the logits."""
        call_writer(
            self.likelihood.sample, "out[...] = …", self.bk, self.p_x, self.logits, noise, out
        )

    def loss(self, beta: Number | None = None) -> None:
        """Compute the loss of a batch (E2): nll (B, K), kl (B, Z), objective (B,).

        ``beta``: the weight of the KL in this call, by default the model's.
        """
        beta = self._beta(beta)
        self.run_encoder()
        self.run_decoder()
        self.likelihood.nll(self.bk, self.p_x, self.logits, self.x_each, self.nll, self.work)
        self._value(beta)

    def loss_and_gradient(self, weight: float, beta: Number | None = None) -> None:
        """Compute the terms of :meth:`loss`, and the gradient of ``weight`` · Σ objective.

        The gradient is written into ``grads``. ``weight`` is 1/B for the mean over a batch of B
        images.
        """
        complete(self.loss_and_input_grads(weight, beta))
        of_networks = (s for part in self.networks[::-1] for s in part.reversed_layers)
        for s in (*of_networks, *self.flow.reversed_layers):
            s.layer.grad_params(self.bk, s.x, s.dy, s.g)

    def loss_and_input_grads(self, weight: float, beta: Number | None = None) -> Meetings:
        """:meth:`loss_and_gradient` without the parameter gradients of the layers.

        The gradient runs back from the logits to every layer's output. The estimator decides the
        weight of each sample, and what the encoder's [μ | log σ²] receives. Workers that divide a
        batch meet inside its networks.
        """
        beta = self._beta(beta)
        yield from self.encoder.forward_together()
        yield from self.loss_and_dlogits(beta)
        sample_weight = self.estimator.sample_weight(self.latent, weight)
        self.dlogits *= sample_weight
        self.likelihood.grad_params(self.bk, self.p_x, sample_weight, self.g_x, self.work)
        yield from self.decoder.grad_inputs_together()
        self.grad_code()
        call_writer(self.estimator.grad_head, "latent.dhead[...] = …", self.latent, weight, beta)
        yield from self.encoder.grad_inputs_together()

    def loss_and_dlogits(self, beta: Number) -> Meetings:
        """Compute the terms of :meth:`loss` from head, and the gradient of nll with it.

        The gradient is with respect to the logits, and has no weight yet.
        """
        self.draw_z()
        self.make_code()
        yield from self.decoder.forward_together()
        self._nll_and_grad()
        self._value(beta)

    def grad_z(self) -> None:
        """Compute dz from the gradient with respect to the logits."""
        self.decoder.grad_inputs()
        self.grad_code()

    def grad_code(self) -> None:
        """Compute dz from the gradient of the decoder's input, which here is dz itself."""

    def _nll_and_grad(self) -> None:
        """nll of every sample, and its gradient with respect to the logits."""
        call_writer(
            self.likelihood.nll_and_grad,
            "nll[...] = … and dlogits[...] = …",
            *(self.bk, self.p_x, self.logits, self.x_each, self.nll, self.dlogits, self.work),
        )

    def _value(self, beta: Number) -> None:
        """kl and the estimator's objective of every image."""
        statement = "latent.kl[...] = … and latent.objective[...] = …"
        call_writer(self.estimator.value, statement, self.latent, beta)

    def _beta(self, beta: Number | None) -> Number:
        if beta is None:
            return self.vae.beta
        self.estimator.require(self.vae.samples, beta, self.vae.flow)
        return beta
