"""What a likelihood is: everything that depends on how pixels are distributed, in one class."""

from collections.abc import Mapping
from typing import NamedTuple

from scratchvae.backend import Array, Backend, Weight
from scratchvae.errors import ConfigError, MissingMethodError, call_writer
from scratchvae.layers.initializers import Initializer
from scratchvae.memory import Shape, Views, Workspace


class LikelihoodSettings(NamedTuple):
    """The settings of a run from which :meth:`Likelihood.from_settings` makes a likelihood."""

    name: str  # that it was looked up by
    max_level: int = 0  # of grey values k / max_level; 0 if unknown
    std: float = 1.0  # of a fixed Gaussian
    start_std: float = 1.0  # of a learned one, before the first step
    mean: str = "sigmoid"  # a key of likelihoods.gaussian.MEANS


class Likelihood:
    """p(x | z) given the decoder's output, the logits.

    A likelihood owns the map from logits to means and the sampler, so that sampling cannot
    disagree with training. For B images of D pixels and K samples each, in the float type of the
    backend: ``x`` (B, 1, D); ``logits`` and ``dlogits`` (B, K, D), or (B, K, logits_per_pixel · D)
    with the first logits of all pixels, then the second ones; ``nll`` (B, K) in nats, summed over
    the pixels. A likelihood may have parameters ``p``, passed in like those of a layer.

    A likelihood of your own needs ``pixel_nll``, ``nll_and_grad``, ``mean`` and ``sample``; with
    parameters also ``parameters`` and ``grad_params``.
    """

    logits_per_pixel = 1  # how many numbers the decoder gives for each pixel
    unit_interval = False  # x must lie in [0, 1]
    binary = False  # x is 0 or 1: of other values it is a cross-entropy, not a density
    noise = "uniform"  # what the sampler is fed: U[0, 1) or N(0, 1), "uniform" or "normal"
    settings: tuple[str, ...] = ()  # the fields of LikelihoodSettings that from_settings reads

    @classmethod
    def from_settings(cls, settings: LikelihoodSettings) -> "Likelihood":
        """The likelihood that these settings describe; ``ConfigError`` if they cannot."""
        return cls()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def parameters(self, pixels: int) -> Mapping[str, tuple[Shape, Initializer]]:
        """The shape and the initializer of each parameter by name, for images of ``pixels``."""
        return {}

    def work(self, workspace: Workspace, pixels: int, samples: int) -> Views:
        """The scratch buffers that the maps below receive by name: tmp and terms (B, K, D)."""
        return Views(
            **{
                name: workspace.buffer(f"likelihood.{name}", pixels, per=samples).reshape(
                    -1, samples, pixels
                )
                for name in ("tmp", "terms")
            }
        )

    def pixel_nll(
        self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views
    ) -> None:
        """out = −log p(x_d | z) of each pixel, in nats: (B, K, D)."""
        raise MissingMethodError(
            f"{type(self).__name__} needs pixel_nll(self, bk, p, logits, x, out, work), which "
            "writes −log p(x_d | z) of each pixel into out: out[...] = …"
        )

    def nll(self, bk: Backend, p: Views, logits: Array, x: Array, out: Array, work: Views) -> None:
        """out = −log p(x | z) = Σ_d of :meth:`pixel_nll`, in nats: (B, K)."""
        call_writer(self.pixel_nll, "out[...] = …", bk, p, logits, x, work.terms, work)
        bk.xp.sum(work.terms, axis=-1, out=out)

    def nll_and_grad(
        self,
        bk: Backend,
        p: Views,
        logits: Array,
        x: Array,
        nll: Array,
        dlogits: Array,
        work: Views,
    ) -> None:
        """Write ``nll`` (see :meth:`nll`) and its gradient with respect to the logits, ``dlogits``.

        The gradient is unweighted: the importance weight of a sample is known only once its value
        is, and :class:`BoundVAE` multiplies by it.
        """
        raise MissingMethodError(
            f"{type(self).__name__} needs nll_and_grad(self, bk, p, logits, x, nll, dlogits, "
            "work), which writes nll as pixel_nll's sum, and its gradient with respect to the "
            "logits into dlogits: dlogits[...] = …"
        )

    def grad_params(self, bk: Backend, p: Views, weight: Weight, g: Views, work: Views) -> None:
        """Assign ``g``, the gradient of Σ weight · nll with respect to the parameters.

        Called after :meth:`nll_and_grad`, whose results in ``work`` it may read and overwrite.
        ``weight``: a number, or (B, K, 1) with one for each sample.
        """
        if g is not None and vars(g):
            raise MissingMethodError(
                f"{type(self).__name__} has parameters, so it needs grad_params(self, bk, p, "
                "weight, g, work), which writes their gradients: "
                + ", ".join(f"g.{name}[...] = …" for name in vars(g))
            )

    def mean(self, bk: Backend, logits: Array, out: Array) -> None:
        """out = E[x | z], (…, D). ``out`` may be ``logits`` if there is one logit per pixel."""
        raise MissingMethodError(
            f"{type(self).__name__} needs mean(self, bk, logits, out), which writes E[x | z] into "
            "out: out[...] = …"
        )

    def logits(self, bk: Backend, mean: Array, out: Array) -> None:
        """out = the logits for which :meth:`mean` is ``mean``: initial values of the output bias.

        ``ConfigError`` for a likelihood that does not define them.
        """
        raise ConfigError(
            f"the likelihood {self.describe()} does not say which logits have a given mean: let "
            "output_bias be init"
        )

    @staticmethod
    def inverse_sigmoid(bk: Backend, mean: Array, out: Array) -> None:
        """out = log m / (1 − m), the inverse of E20, with m clipped to [0.001, 0.999]."""
        m = bk.xp.clip(mean, 0.001, 0.999)
        out[...] = bk.xp.log(m / (1 - m))

    def sample(self, bk: Backend, p: Views, logits: Array, noise: Array, out: Array) -> None:
        """Draw out ~ p(x | z), (…, D), from ``noise`` of the kind that the class names.

        Overwrites the logits.
        """
        raise MissingMethodError(
            f"{type(self).__name__} needs sample(self, bk, p, logits, noise, out), which writes "
            f"pixels drawn from {self.noise} noise into out: out[...] = …"
        )

    def describe(self) -> str:
        """A short phrase for tables and captions."""
        return type(self).__name__
