"""The latent node as subjects: the reparameterization and the KL divergence."""

from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.subjects.buffered import BufferedSubject, Buffers
from scratchvae.latent import (
    kl_grad,
    kl_per_unit,
    reparameterize,
    reparameterize_grad,
    standard_deviation,
)


def reparameterize_subject(
    head: NDArray, eps: NDArray, name: str = "reparameterize"
) -> BufferedSubject:
    """z (B, K, Z) of head = [μ | log σ²] (B, 2Z), with ε (B, K, Z) handed in (E12, E13)."""
    rows, samples, latent = eps.shape

    def forward(bk: Backend, buffers: Buffers) -> None:
        reparameterize(bk, buffers["head"], buffers["std"], buffers["eps"], buffers["z"])

    def backward(bk: Backend, buffers: Buffers) -> None:
        bk.compute(
            reparameterize_grad,
            buffers["std"],
            buffers["eps"],
            buffers["w"],
            buffers["dhead"],
            buffers["tmp"],
        )

    return BufferedSubject(
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


def kl_subject(head: NDArray, name: str = "KL") -> BufferedSubject:
    """KL (B, Z) of head = [μ | log σ²] (B, 2Z), weighted for each image (E16, E17).

    Its gradient adds to what the head has received already: 1 here, so that one which assigns
    is noticed.
    """
    rows, latent = head.shape[0], head.shape[1] // 2

    def forward(bk: Backend, buffers: Buffers) -> None:
        standard_deviation(bk, buffers["head"], buffers["std"])
        bk.compute(kl_per_unit, buffers["head"], buffers["std"], buffers["kl"], buffers["tmp"])

    def backward(bk: Backend, buffers: Buffers) -> None:
        buffers["dhead"].fill(1.0)
        bk.compute(
            kl_grad, buffers["head"], buffers["std"], buffers["w"], buffers["dhead"], buffers["tmp"]
        )
        dhead = buffers["dhead"]
        dhead -= 1.0

    return BufferedSubject(
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
        expand_to=(rows, latent),
        sizes={"the batch size": rows, "the latent units": latent},
    )
