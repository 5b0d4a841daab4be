"""A VAE together with its parameters: host arrays in, host arrays out."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scratchvae.backend import Backend, HostArray, get_backend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.errors import ConfigError, DataError
from scratchvae.latent import default_estimator
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models.inputs import grey_values, latent_vectors, noise
from scratchvae.models.recipe import make_vae, recipe_of
from scratchvae.models.vae import VAE, BoundVAE
from scratchvae.storage.archive import load_archive, save_archive
from scratchvae.types import Function, Values

BLOCK = 250  # images at a time; part of the definition of evaluation noise, see Model.terms
FIRST_DRAW = Stream(0, Purpose.TEST_LATENT)


class Loss(NamedTuple):
    """The loss and its terms (E2), averaged over images and samples, in nats per image."""

    total: float  # the estimator's objective; for E2 reconstruction + beta · kl
    reconstruction: float
    kl: float


class Encoding(NamedTuple):
    """q(z|x) of every image: μ and log σ², (N, Z) each, in the model's float type.

    With a flow, mu is the Gaussian's μ mapped by the flow, and logvar is the Gaussian's.
    """

    mu: HostArray
    logvar: HostArray


class Samples(NamedTuple):
    """Images drawn from a model, (N, D) each: the means E[x|z], and draws x ~ p(x|z)."""

    means: HostArray
    draws: HostArray


class LossAndGradient(NamedTuple):
    """The loss of a batch, and its gradient: an array for each parameter, by name."""

    loss: Loss
    gradient: dict[str, HostArray]


class Terms(NamedTuple):
    """The terms of E2 of every image, in nats: nll (N, K) and kl (N, Z); and μ (N, Z).

    With a flow, μ is that of :class:`Encoding`, and only the sum of kl has a meaning.
    """

    nll: HostArray
    kl: HostArray
    mu: HostArray


class Model:
    """A VAE and its parameters on a backend: host arrays in, host arrays out.

    ``images`` are grey values as the likelihood models them, in [0, 1] for a Bernoulli, with
    D = ``vae.pixels`` numbers per image: an array (N, D) or (N, H, W), a single image (D,), or
    lists, data frames or tensors of these shapes. Those of a conditional model are rows with the
    condition, which ``vae.condition.rows(images, labels)`` makes. Results are new arrays in the
    float type of the backend.

    Every method raises ``DataError``, saying what to do, for images of another shape,
    whole numbers other than 0 and 1 (levels: use ``split.values()``), NaN, masked arrays and
    values that the likelihood cannot model; and ``ConfigError`` for a seed that is not a whole
    number from 0 to 2⁶⁴ − 1.

    ``params`` are the model's own and may be changed in place.
    """

    def __init__(
        self,
        vae: VAE,
        bk: Backend | None = None,
        *,
        params: FlatBuffer | None = None,
        seed: int = 0,
    ) -> None:
        """With ``params``, or with fresh ones that ``seed`` determines (E25).

        ``bk``: NumPy in float32 unless given. Raises ``ConfigError`` for parameters of another
        model.
        """
        self.vae, self.bk = vae, get_backend("cpu") if bk is None else bk
        self.params = vae.initial_parameters(self.bk, seed) if params is None else params
        if self.params.layout != vae.layout:
            raise ConfigError(
                f"the parameters have the shapes {self.params.layout.shapes}, but this model has "
                f"{vae.layout.shapes}"
            )

    def __repr__(self) -> str:
        return f"<Model: {self.vae.layout.n_parameters:,} parameters, {self.bk!r}, {self.vae!r}>"

    def __reduce__(self) -> tuple[Function, tuple[object, ...]]:
        """For pickle and copy: the parameters as host arrays, and which backend to ask for."""
        bk = self.bk
        backend = (bk.name, str(bk.dtype), getattr(bk, "tf32", False), bk.compiled)
        return _restore, (self.vae, backend, self.params.to_host())

    def save(self, path: str | Path) -> None:
        """Write the model to one file: its parameters, checksummed, and how to make its VAE.

        Raises ``CheckpointError`` if the file cannot be written; an older file then stays whole.
        """
        content = {"model": recipe_of(self.vae), "dtype": str(self.bk.dtype)}
        save_archive(Path(path), content, self.params.to_host())

    @classmethod
    def load(
        cls, path: str | Path, bk: Backend | None = None, *, vae: VAE | None = None
    ) -> "Model":
        """Load a model from a file that :meth:`save` wrote.

        ``bk``: by default NumPy in the float type of the file. ``vae``: the model's VAE, needed
        only if it has classes from outside this package. Raises ``CheckpointError`` for a missing
        or damaged file, ``ConfigError`` if its VAE cannot be made again or its parameters are not
        those of ``vae``.
        """
        content, arrays = load_archive(Path(path), {"model": dict, "dtype": str})
        vae = make_vae(content["model"]) if vae is None else vae
        bk = get_backend("cpu", content["dtype"]) if bk is None else bk
        params = FlatBuffer(bk, vae.layout)
        params.load(arrays)
        return cls(vae, bk, params=params)

    def to(self, bk: Backend) -> "Model":
        """A copy on another backend or in another float type."""
        return Model(self.vae, bk, params=self.params.to(bk))

    def with_samples(self, samples: int) -> "Model":
        """The same parameters, not a copy, with another number of samples per image.

        Raises ``ConfigError`` for less than one.
        """
        return Model(self.vae.with_samples(samples), self.bk, params=self.params)

    def for_evaluation(self) -> "Model":
        """The same parameters with E2, whatever estimator trained them.

        Its KL is the analytic one, or by Monte Carlo if q(z|x) has a flow.
        """
        estimator = default_estimator(self.vae.flow)
        return Model(self.vae.with_estimator(estimator), self.bk, params=self.params)

    # ---- the five things a VAE does ----------------------------------------------------------

    def encode(self, images: Values) -> Encoding:
        """μ and log σ² of q(z|x): (N, D) -> (N, Z) each."""
        x, latent = grey_values(images, self.vae), self.vae.latent_dim
        mu, logvar = (self.bk.host_empty((len(x), latent)) for _ in range(2))
        model = self if self.vae.samples == 1 else self.with_samples(1)
        for start, stop, bound in model._blocks(len(x)):
            self.bk.load(x[start:stop], bound.x)
            bound.encoder.forward()
            mu[start:stop] = self.bk.to_host(bound.centres())
            logvar[start:stop] = self.bk.to_host(bound.head[:, latent:])
        return Encoding(mu, logvar)

    def encoder_output(self, images: Values) -> HostArray:
        """The encoder's whole output: [μ | log σ²] and, with a flow, the inputs of its maps.

        (N, D) -> (N, 2Z) or more.
        """
        x = grey_values(images, self.vae)
        columns = 2 * self.vae.latent_dim + self.vae.flow.inputs(self.vae.latent_dim)
        output = self.bk.host_empty((len(x), columns))
        for start, stop, bound in self._blocks(len(x)):
            self.bk.load(x[start:stop], bound.x)
            bound.encoder.forward()
            output[start:stop] = self.bk.to_host(bound.encoder.y)
        return output

    def decode(self, z: Values, given: Values = None) -> HostArray:
        """E[x|z]: (N, Z), or one vector (Z,), -> (N, D).

        ``given``: the condition of a conditional model, one for each z or one for all: labels, or
        images of which a part is seen and stays as it is. Raises ``DataError`` for latent vectors
        of another shape, for NaN in them, and for a condition that does not fit the model.
        """
        z, rows = self._to_decode(z, given)
        means = self.bk.host_empty((len(z), self.vae.modelled))
        for here, bound in self._decoded(z, rows):
            bound.means()
            means[here] = self.bk.to_host(bound.x_each[:, 0])
        return self.vae.condition.complete(rows, means)

    def logits(self, z: Values, given: Values = None) -> HostArray:
        """The decoder's output, the logits of the likelihood: (N, Z) -> (N, D).

        For a likelihood with several logits per pixel, (N, logits_per_pixel · D). ``given`` and
        errors as of :meth:`decode`.
        """
        z, rows = self._to_decode(z, given)
        per_image = self.vae.modelled * self.vae.likelihood.logits_per_pixel
        logits = self.bk.host_empty((len(z), per_image))
        for here, bound in self._decoded(z, rows):
            logits[here] = self.bk.to_host(bound.logits[:, 0])
        return logits

    def _to_decode(self, z: Values, given: Values) -> tuple[HostArray, HostArray | None]:
        """Latent vectors (N, Z), and the rows that hold their condition, if the model has one."""
        z = latent_vectors(z, self.vae.latent_dim)
        return z, self._rows_given(given, len(z))

    def _decoded(self, z: HostArray, rows: HostArray | None) -> Iterator[tuple[slice, BoundVAE]]:
        """The bound model with the logits of some of the ``z`` after the others."""
        model = self if self.vae.samples == 1 else self.with_samples(1)
        for start, stop, bound in model._blocks(len(z)):
            self.bk.load(z[start:stop, None, :], bound.z)
            if rows is not None:
                self.bk.load(rows[start:stop], bound.x)
            bound.run_decoder()
            yield slice(start, stop), bound

    def _rows_given(self, given: Values, n: int) -> HostArray | None:
        """The rows that hold the condition ``given``; None for a model without one."""
        if given is None and not self.vae.condition.kind:
            return None
        return self.vae.condition.rows_given(given, n, self.vae.pixels)

    def pixel_nll(self, images: Values, z: Values) -> HostArray:
        """−log p(x_d|z) of every pixel, in nats: images (N, D), one z for each (N, Z) -> (N, D).

        For a conditional model, of every modelled number.

        Raises ``DataError`` for another number of latent vectors than images.
        """
        x, z = grey_values(images, self.vae), latent_vectors(z, self.vae.latent_dim)
        if len(z) != len(x):
            raise DataError(f"z has shape {z.shape}, expected {(len(x), self.vae.latent_dim)}")
        bk, nll = self.bk, self.bk.host_empty((len(x), self.vae.modelled))
        out = bk.empty((min(len(x), BLOCK), 1, self.vae.modelled))
        for start, stop, bound in self.with_samples(1)._blocks(len(x)):
            bk.load(x[start:stop], bound.x)
            bk.load(z[start:stop, None, :], bound.z)
            bound.run_decoder()
            here = out[: stop - start]
            bound.likelihood.pixel_nll(bk, bound.p_x, bound.logits, bound.x_each, here, bound.work)
            nll[start:stop] = bk.to_host(here[:, 0])
        return nll

    def reconstruct(self, images: Values) -> HostArray:
        """E[x|z] at the ``mu`` of :meth:`encode`: (N, D) -> (N, D)."""
        given = images if self.vae.condition.kind else None
        return self.decode(self.encode(images).mu, given)

    def sample(self, n: int, *, seed: int = 0, given: Values = None) -> Samples:
        """Draw ``n`` images from the model: means E[x|z] at z ~ p(z), and x ~ p(x|z); (n, D) each.

        z and the noise of the pixels are functions of ``seed``; ``given`` as in :meth:`decode`.
        Raises ``ConfigError`` unless n is a whole number of at least 1.
        """
        if not hasattr(n, "__index__") or n < 1:
            raise ConfigError(f"a whole number of images is drawn, at least one, not {n!r}")
        rows = self._rows_given(given, int(n))
        bk, pixel_noise = self.bk, self.bk.empty((int(n), self.vae.modelled))
        z = bk.empty((int(n), self.vae.latent_dim))
        bk.normal(z, Stream(seed, Purpose.PRIOR), bk.noise_scratch(z.size))
        draw = bk.uniform if self.vae.likelihood.noise == "uniform" else bk.normal
        draw(pixel_noise, Stream(seed, Purpose.PIXELS), bk.noise_scratch(pixel_noise.size))
        means, draws = bk.host_empty(pixel_noise.shape), bk.empty(pixel_noise.shape)
        for start, stop, bound in self.with_samples(1)._blocks(len(z)):
            bound.z[:, 0] = z[start:stop]
            if rows is not None:
                bk.load(rows[start:stop], bound.x)
            bound.run_decoder()
            bound.means()
            means[start:stop] = bk.to_host(bound.x_each[:, 0])
            bound.draw(pixel_noise[start:stop, None], draws[start:stop, None])
        complete = self.vae.condition.complete
        return Samples(complete(rows, means), complete(rows, bk.to_host(draws)))

    def loss(self, images: Values, eps: Values = None, *, seed: int = 0) -> Loss:
        """The training loss, averaged over the images, in nats per image.

        That is E2, or the objective of the model's estimator. ``eps``: the noise (N, K, Z) for K
        samples per image; by default drawn with ``seed``. Raises ``DataError`` for noise of
        another shape.
        """
        return self._average(*self._evaluate(images, eps, Stream(seed, Purpose.TEST_LATENT)))

    def loss_and_gradient(
        self, images: Values, eps: Values = None, *, seed: int = 0
    ) -> LossAndGradient:
        """The loss as in :meth:`loss`, and its gradient with respect to every parameter, by name.

        ``images`` are one batch, computed in memory at once.
        """
        x = grey_values(images, self.vae)
        grads = FlatBuffer(self.bk, self.vae.layout)
        bound = self.vae.bind(Workspace(self.bk, len(x)), self.params, grads)
        shape = (len(x), self.vae.samples, self.vae.latent_dim)
        eps = None if eps is None else noise(eps, shape)
        self.bk.load(x, bound.x)
        self._load_noise(bound, eps, Stream(seed, Purpose.TEST_LATENT))
        bound.loss_and_gradient(1.0 / len(x))
        return LossAndGradient(self._average(*self._read(bound)), grads.to_host())

    # ---- image by image ----------------------------------------------------------------------

    def terms(
        self,
        images: Values,
        eps: Values = None,
        *,
        stream: Stream = FIRST_DRAW,
        workspace: Workspace | None = None,
    ) -> Terms:
        """The terms of E2 for every image as :meth:`for_evaluation` has them.

        ``eps`` (N, K, Z) by default comes from ``stream``, for the block of images that starts at
        image i from its lane + i, so it does not depend on the number of images or their contents.
        ``workspace``: the buffers of an earlier call with as many images and samples, used again.
        Raises ``DataError`` for noise of another shape.
        """
        return self.for_evaluation()._evaluate(images, eps, stream, workspace)[0]

    def _evaluate(
        self, images: Values, eps: Values, stream: Stream, workspace: Workspace | None = None
    ) -> tuple[Terms, HostArray]:
        """The terms, and the estimator's objective (N,)."""
        x, vae = grey_values(images, self.vae), self.vae.evaluated
        n, K, Z = len(x), vae.samples, vae.latent_dim
        given = None if eps is None else noise(eps, (n, K, Z))
        shapes = ((n, K), (n, Z), (n, Z), (n,))
        nll, kl, mu, objective = (self.bk.host_empty(shape) for shape in shapes)
        for start, stop, bound in self._blocks(n, workspace):
            self.bk.load(x[start:stop], bound.x)
            here = None if given is None else given[start:stop]
            self._load_noise(bound, here, stream._replace(lane=stream.lane + start))
            bound.loss()
            (nll[start:stop], kl[start:stop], mu[start:stop]), objective[start:stop] = self._read(
                bound
            )
        return Terms(nll, kl, mu), objective

    def _load_noise(self, bound: BoundVAE, eps: HostArray | None, stream: Stream) -> None:
        if eps is None:
            self.bk.normal(bound.eps, stream, self.bk.noise_scratch(bound.eps.size))
        else:
            self.bk.load(eps, bound.eps)

    def _read(self, bound: BoundVAE) -> tuple[Terms, HostArray]:
        nll, kl, objective = map(self.bk.to_host, (bound.nll, bound.kl, bound.objective))
        return Terms(nll, kl, self.bk.to_host(bound.centres())), objective

    def _average(self, terms: Terms, objective: HostArray) -> Loss:
        reconstruction = float(terms.nll.mean(dtype="float64"))
        kl = float(terms.kl.sum(axis=1, dtype="float64").mean())
        total = self.vae.estimator.total(terms.nll, terms.kl, objective, self.vae.beta)
        return Loss(total, reconstruction, kl)

    def _blocks(
        self, n: int, workspace: Workspace | None = None
    ) -> Iterator[tuple[int, int, BoundVAE]]:
        """The bound model for images start:stop, over and over, on one workspace."""
        vae, workspace = self.vae.evaluated, workspace or Workspace(self.bk, min(n, BLOCK))
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            if start == 0:
                bound = vae.bind(workspace, self.params)
            elif stop - start < workspace.n_rows:
                bound = vae.bind(workspace.rows(0, stop - start), self.params)
            yield start, stop, bound


def _restore(vae: VAE, backend: tuple[str, str, bool, bool], arrays: dict[str, HostArray]) -> Model:
    """The inverse of ``Model.__reduce__``."""
    name, dtype, tf32, compiled = backend
    bk = get_backend(name, dtype, tf32, compiled=compiled)
    params = FlatBuffer(bk, vae.layout)
    params.load(arrays)
    return Model(vae, bk, params=params)
