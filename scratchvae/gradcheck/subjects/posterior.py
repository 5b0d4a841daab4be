"""The fit of q(z) to partly observed images as a subject: a function of μ and log σ."""

from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.points import point, unit_interval
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.gradcheck.subjects.buffered import BufferedSubject, Buffers
from scratchvae.memory import FlatBuffer
from scratchvae.models import VAE, BoundPosterior


class PosteriorSubject(BufferedSubject):
    """−ELBO (B,) of the observed pixels of each image, with a weight (B, 1) for each."""

    vae: VAE
    kl: str
    values: Arrays
    inputs: tuple[NDArray, NDArray, NDArray]  # images, what is observed of them, and noise

    def permuted(self, order: NDArray) -> "BufferedSubject":
        q = {name: a[order] for name, a in self.args.items()}
        images, observed, eps = (a[order] for a in self.inputs)
        return _subject(self.vae, self.kl, self.values, q, images, observed, eps)


def posterior_subject(
    vae: VAE, rows: int, samples: int, kl: str, seed: int = 0, factor: float = 1.0
) -> PosteriorSubject:
    """Parameters, images, masks, noise and q are drawn; ``kl`` as in the fit.

    ``factor`` scales μ and log σ.
    """
    name, q_shape = f"completion, {kl}", (rows, vae.latent_dim)
    images = unit_interval((rows, vae.pixels), seed, f"{name} x")
    observed = unit_interval((rows, vae.pixels), seed, f"{name} mask") < 0.5
    eps = point((rows, samples, vae.latent_dim), seed, f"{name} eps")
    values = {n: 0.5 * point(s, seed, f"{name} {n}") for n, s in vae.layout.shapes.items()}
    q = {n: factor * point(q_shape, seed, f"{name} {n}") for n in ("mu", "logstd")}
    return _subject(vae, kl, values, q, images, observed, eps)


def _subject(
    vae: VAE, kl: str, values: Arrays, q: Arrays, images: NDArray, observed: NDArray, eps: NDArray
) -> PosteriorSubject:
    rows, samples, _ = eps.shape

    def setup(bk: Backend, buffers: Buffers) -> None:
        params = FlatBuffer(bk, vae.layout)
        params.load(values)
        fit = BoundPosterior(vae, params, images, observed, samples, kl)
        bk.load(eps, fit.eps)
        buffers |= {"fit": fit, "mu": fit.mu, "logstd": fit.logstd, "objective": fit.objective}
        buffers |= {"dmu": fit.dmu, "dlogstd": fit.dlogstd}

    def forward(bk: Backend, buffers: Buffers) -> None:
        buffers["fit"].value()

    def backward(bk: Backend, buffers: Buffers) -> None:
        buffers["fit"].gradient()  # of the sum over images, which do not mix:
        buffers["dmu"] *= buffers["w"]
        buffers["dlogstd"] *= buffers["w"]

    subject = PosteriorSubject(
        name=f"completion, {kl}",
        args=q,
        constants={},
        w_shape=(rows, 1),
        y="objective",
        writes={},
        gradients={"mu": "dmu", "logstd": "dlogstd"},
        forward=forward,
        backward=backward,
        setup=setup,
        batched=("mu", "logstd", "w"),
        sizes={"the batch size": rows, "the samples": samples},
        runs_forward=True,
        expand_to=(rows,),
        accepts_views=False,
    )
    subject.vae, subject.kl, subject.values = vae, kl, values
    subject.inputs = (images, observed, eps)
    return subject
