"""The latent node as subjects: the reparameterization and the KL divergence."""

from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.subjects.kernel import Desk, KernelSubject
from scratchvae.latent import (
    kl_chain,
    kl_per_unit,
    reparameterize,
    reparameterize_chain,
    standard_deviation,
)


def reparameterize_subject(
    head: NDArray, eps: NDArray, name: str = "reparameterize"
) -> KernelSubject:
    """z (B, K, Z) of head = [μ | log σ²] (B, 2Z), with ε (B, K, Z) handed in (E12, E13)."""
    rows, samples, latent = eps.shape

    def forward(bk: Backend, desk: Desk) -> None:
        reparameterize(bk, desk["head"], desk["std"], desk["eps"], desk["z"])

    def backward(bk: Backend, desk: Desk) -> None:
        reparameterize_chain(bk, desk["std"], desk["eps"], desk["w"], desk["dhead"], desk["tmp"])

    return KernelSubject(
        name=name,
        args={"head": head},
        constants={"eps": eps},
        w_shape=eps.shape,
        y="z",
        writes={
            "std": (rows, latent),
            "z": eps.shape,
            "dhead": head.shape,
            "tmp": eps.shape,
        },
        gradients={"head": "dhead"},
        forward=forward,
        backward=backward,
        batched=("head", "eps", "w"),
        sizes={"the batch size": rows, "the samples": samples, "the latent units": latent},
    )


def kl_subject(head: NDArray, name: str = "KL") -> KernelSubject:
    """KL (B, Z) of head = [μ | log σ²] (B, 2Z), weighted for each image (E16, E17).

    Its chain adds to what the head has received already: 1 here, so that a chain which assigns
    is noticed.
    """
    rows, latent = head.shape[0], head.shape[1] // 2

    def forward(bk: Backend, desk: Desk) -> None:
        standard_deviation(bk, desk["head"], desk["std"])
        kl_per_unit(bk, desk["head"], desk["std"], desk["kl"], desk["tmp"])

    def backward(bk: Backend, desk: Desk) -> None:
        desk["dhead"].fill(1.0)
        kl_chain(bk, desk["head"], desk["std"], desk["w"], desk["dhead"], desk["tmp"])
        dhead = desk["dhead"]
        dhead -= 1.0

    return KernelSubject(
        name=name,
        args={"head": head},
        constants={},
        w_shape=(rows, 1),
        y="kl",
        writes={
            "std": (rows, latent),
            "kl": (rows, latent),
            "dhead": head.shape,
            "tmp": (rows, latent),
        },
        gradients={"head": "dhead"},
        forward=forward,
        backward=backward,
        batched=("head", "w"),
        spread_to=(rows, latent),
        sizes={"the batch size": rows, "the latent units": latent},
    )
