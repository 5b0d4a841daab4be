"""A VAE together with its parameters: host arrays in, host arrays out."""

from collections.abc import Iterator
from typing import NamedTuple

from scratchvae.backend import Array, Backend, HostArray
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.errors import ConfigError, DataError
from scratchvae.latent import AnalyticKL
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models.vae import VAE, BoundVAE

BLOCK = 250  # images at a time; part of the definition of evaluation noise, see Model.terms
FIRST_DRAW = Stream(0, Purpose.TEST_LATENT)


class Loss(NamedTuple):
    """The terms of E2, averaged over images and samples, in nats an image."""

    total: float  # the estimator's objective; for E2 reconstruction + beta · kl
    reconstruction: float
    kl: float


class Terms(NamedTuple):
    """The terms of E2 image by image, in nats: nll (N, K), kl (N, Z), and μ (N, Z)."""

    nll: HostArray
    kl: HostArray
    mu: HostArray


class Model:
    """A VAE and its parameters on a backend. Images are (N, D) host arrays of grey values."""

    def __init__(
        self, vae: VAE, bk: Backend, params: FlatBuffer | None = None, seed: int = 0
    ) -> None:
        """With ``params``, or with fresh ones that ``seed`` determines."""
        self.vae, self.bk = vae, bk
        self.params = vae.initial_parameters(bk, seed) if params is None else params
        if self.params.layout != vae.layout:
            raise ConfigError(
                f"the parameters have the shapes {self.params.layout.shapes}, but this model has "
                f"{vae.layout.shapes}"
            )

    def to(self, bk: Backend) -> "Model":
        """A copy on another backend or in another float type."""
        return Model(self.vae, bk, self.params.to(bk))

    def with_samples(self, samples: int) -> "Model":
        """The same parameters, not a copy, with another number of samples an image."""
        return Model(self.vae.with_samples(samples), self.bk, self.params)

    def for_evaluation(self) -> "Model":
        """The same parameters with the estimator that numbers are printed by: analytic KL (E2)."""
        return Model(self.vae.with_estimator(AnalyticKL()), self.bk, self.params)

    # ---- the five things a VAE does ----------------------------------------------------------

    def encode(self, images: HostArray) -> tuple[HostArray, HostArray]:
        """μ and log σ² of q(z|x): (N, D) -> (N, Z), (N, Z)."""
        images, latent = self._rows(images, self.vae.pixels, "images"), self.vae.latent_dim
        head = self.bk.host_empty((len(images), 2 * latent))
        for start, stop, bound in self._blocks(len(images)):
            self.bk.load(images[start:stop], bound.x)
            bound.encoder.forward()
            head[start:stop] = self.bk.to_host(bound.head)
        return head[:, :latent], head[:, latent:]

    def decode(self, z: HostArray) -> HostArray:
        """E[x|z]: (N, Z) -> (N, D)."""
        z = self._rows(z, self.vae.latent_dim, "latent vectors")
        means = self.bk.host_empty((len(z), self.vae.pixels))
        model = self if self.vae.samples == 1 else self.with_samples(1)
        for start, stop, bound in model._blocks(len(z)):
            self.bk.load(z[start:stop, None, :], bound.z)
            bound.decode()
            bound.likelihood.mean(self.bk, bound.logits, bound.x_each)  # no image lies there now
            means[start:stop] = self.bk.to_host(bound.x)
        return means

    def pixel_nll(self, images: HostArray, z: HostArray) -> HostArray:
        """−log p(x_d|z) in nats of every pixel, for pairs of an image and a z: (N, D)."""
        images = self._rows(images, self.vae.pixels, "images")
        if tuple(z.shape) != (len(images), self.vae.latent_dim):
            raise DataError(f"z has shape {z.shape}, expected {(len(images), self.vae.latent_dim)}")
        bk, nll = self.bk, self.bk.host_empty((len(images), self.vae.pixels))
        out = bk.empty((min(len(images), BLOCK), 1, self.vae.pixels))
        for start, stop, bound in self.with_samples(1)._blocks(len(images)):
            bk.load(images[start:stop], bound.x)
            bk.load(z[start:stop, None, :], bound.z)
            bound.decode()
            here = out[: stop - start]
            bound.likelihood.pixel_nll(bk, bound.p_x, bound.logits, bound.x_each, here, bound.work)
            nll[start:stop] = bk.to_host(here[:, 0])
        return nll

    def reconstruct(self, images: HostArray) -> HostArray:
        """E[x|z] at z = μ(x): (N, D) -> (N, D)."""
        return self.decode(self.encode(images)[0])

    def sample(self, n: int, seed: int = 0) -> tuple[HostArray, HostArray]:
        """n draws from the model: the means E[x|z] at z ~ p(z), and x ~ p(x|z); (n, D) each."""
        if n < 1:
            raise ConfigError(f"at least one image can be drawn, not {n}")
        bk, noise = self.bk, self.bk.empty((n, self.vae.pixels))
        z = bk.empty((n, self.vae.latent_dim))
        bk.normal(z, Stream(seed, Purpose.PRIOR), bk.noise_scratch(z.size))
        draw = bk.uniform if self.vae.likelihood.noise == "uniform" else bk.normal
        draw(noise, Stream(seed, Purpose.PIXELS), bk.noise_scratch(noise.size))
        means, draws = bk.host_empty(noise.shape), bk.empty(noise.shape)
        for start, stop, bound in self.with_samples(1)._blocks(n):
            bound.z[:, 0] = z[start:stop]
            bound.decode()
            bound.likelihood.mean(bk, bound.logits, bound.x_each)
            means[start:stop] = bk.to_host(bound.x)
            here = slice(start, stop)
            bound.likelihood.sample(
                bk, bound.p_x, bound.logits, noise[here, None], draws[here, None]
            )
        return means, bk.to_host(draws)

    def loss(self, images: HostArray, eps: HostArray | None = None, seed: int = 0) -> Loss:
        """The loss that the model is trained by, averaged over the images.

        E2, or the objective of the model's estimator. ``eps`` (N, K, Z), or the noise that
        ``seed`` names.
        """
        return self._average(*self._evaluate(images, eps, Stream(seed, Purpose.TEST_LATENT)))

    def loss_and_gradient(
        self, images: HostArray, eps: HostArray | None = None, seed: int = 0
    ) -> tuple[Loss, dict[str, HostArray]]:
        """The loss as in :meth:`loss`, and its gradient by every parameter, by name."""
        images = self._rows(images, self.vae.pixels, "images")
        grads = FlatBuffer(self.bk, self.vae.layout)
        bound = self.vae.bind(Workspace(self.bk, len(images)), self.params, grads)
        self.bk.load(images, bound.x)
        self._load_noise(bound, eps, Stream(seed, Purpose.TEST_LATENT))
        bound.loss_and_gradient(1.0 / len(images))
        return self._average(*self._read(bound)), grads.to_host()

    # ---- image by image ----------------------------------------------------------------------

    def terms(
        self,
        images: HostArray,
        eps: HostArray | None = None,
        stream: Stream = FIRST_DRAW,
    ) -> Terms:
        """E2 with the analytic KL term by term for every image, whatever the model's estimator.

        Without ``eps`` (N, K, Z), the noise of the block that begins at image i is the stream's,
        i lanes on: it depends on neither the number of images nor their contents.
        """
        return self.for_evaluation()._evaluate(images, eps, stream)[0]

    def _evaluate(
        self, images: HostArray, eps: HostArray | None, stream: Stream
    ) -> tuple[Terms, HostArray]:
        """The terms, and the estimator's objective (N,)."""
        images, vae = self._rows(images, self.vae.pixels, "images"), self.vae
        n, K, Z = len(images), vae.samples, vae.latent_dim
        if eps is not None and tuple(eps.shape) != (n, K, Z):
            raise DataError(f"eps has shape {eps.shape}, expected {(n, K, Z)}")
        shapes = ((n, K), (n, Z), (n, Z), (n,))
        nll, kl, mu, objective = (self.bk.host_empty(shape) for shape in shapes)
        for start, stop, bound in self._blocks(n):
            self.bk.load(images[start:stop], bound.x)
            noise = None if eps is None else eps[start:stop]
            self._load_noise(bound, noise, stream._replace(lane=stream.lane + start))
            bound.loss()
            (nll[start:stop], kl[start:stop], mu[start:stop]), objective[start:stop] = self._read(
                bound
            )
        return Terms(nll, kl, mu), objective

    def _load_noise(self, bound: BoundVAE, eps: HostArray | None, stream: Stream) -> None:
        if eps is None:
            self.bk.normal(bound.eps, stream, self.bk.noise_scratch(bound.eps.size))
        elif tuple(eps.shape) != tuple(bound.eps.shape):
            raise DataError(f"eps has shape {eps.shape}, expected {tuple(bound.eps.shape)}")
        else:
            self.bk.load(eps, bound.eps)

    def _read(self, bound: BoundVAE) -> tuple[Terms, HostArray]:
        mu = bound.head[:, : self.vae.latent_dim]
        terms = Terms(*(self.bk.to_host(a) for a in (bound.nll, bound.kl, mu)))
        return terms, self.bk.to_host(bound.objective)

    def _average(self, terms: Terms, objective: HostArray) -> Loss:
        reconstruction = float(terms.nll.mean(dtype="float64"))
        kl = float(terms.kl.sum(axis=1, dtype="float64").mean())
        total = self.vae.estimator.total(terms.nll, terms.kl, objective, self.vae.beta)
        return Loss(total, reconstruction, kl)

    def _blocks(self, n: int) -> Iterator[tuple[int, int, BoundVAE]]:
        """The bound model for images start:stop, over and over, on one workspace."""
        workspace: Workspace | None = None
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            if workspace is None:
                workspace = Workspace(self.bk, stop - start)
                bound = self.vae.bind(workspace, self.params)
            elif stop - start < workspace.n_rows:
                bound = self.vae.bind(workspace.rows(0, stop - start), self.params)
            yield start, stop, bound

    @staticmethod
    def _rows(a: Array, width: int, what: str) -> HostArray:
        shape = tuple(getattr(a, "shape", ()))
        if len(shape) != 2 or shape[1] != width or shape[0] == 0:
            raise DataError(f"{what} have shape {shape}, expected (N, {width}) with N at least 1")
        if a.dtype.kind not in "biuf":
            raise DataError(f"{what} are real numbers, not {a.dtype}")
        return a
