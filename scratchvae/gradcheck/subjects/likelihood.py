"""A likelihood as a subject: −log p(x|z) of the logits and of its own parameters."""

from collections.abc import Mapping
from types import SimpleNamespace

from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.subjects.buffered import BufferedSubject, Buffers, writes_only
from scratchvae.gradcheck.subjects.layer import draw_parameters
from scratchvae.likelihoods import Likelihood
from scratchvae.memory import Views, Workspace


def likelihood_subject(
    likelihood: Likelihood,
    logits: NDArray,
    x: NDArray,
    parameters: Mapping[str, NDArray] | None = None,
    seed: int = 0,
    name: str | None = None,
) -> BufferedSubject:
    """nll (B, K) of logits (B, K, D) for pixels x (B, 1, D), with a weight for each sample.

    A likelihood may take several logits per pixel: (B, K, logits_per_pixel · D).
    """
    rows, samples, _ = logits.shape
    pixels = x.shape[-1]
    label = name or likelihood.describe()
    shapes = {n: shape for n, (shape, _) in likelihood.parameters(pixels).items()}
    values = draw_parameters(shapes, parameters, seed, label)

    def setup(bk: Backend, buffers: Buffers) -> None:
        workspace = Workspace(bk, rows)
        buffers |= {"workspace": workspace, "work": likelihood.work(workspace, pixels, samples)}

    def namespaces(buffers: Buffers) -> tuple[Views, Views]:
        p = SimpleNamespace(**{n: buffers[n] for n in shapes})
        return p, SimpleNamespace(**{n: buffers[f"d{n}"] for n in shapes})

    def forward(bk: Backend, buffers: Buffers) -> None:
        p, _ = namespaces(buffers)
        writes_only(likelihood.nll, "out[...] = …")(
            bk, p, buffers["logits"], buffers["x"], buffers["nll"], buffers["work"]
        )

    def backward(bk: Backend, buffers: Buffers) -> None:
        p, g = namespaces(buffers)
        writes_only(likelihood.nll_and_grad, "nll[...] = … and dlogits[...] = …")(
            bk, p, buffers["logits"], buffers["x"], buffers["nll_again"], buffers["dlogits"],
            buffers["work"],
        )  # fmt: skip
        buffers["dlogits"] *= buffers["w"]
        writes_only(likelihood.grad_params, ", ".join(f"g.{n}[...] = …" for n in shapes))(
            bk, p, buffers["w"], g, buffers["work"]
        )

    return BufferedSubject(
        name=label,
        args={"logits": logits, **values},
        constants={"x": x},
        w_shape=(rows, samples, 1),
        y="nll",
        writes={
            "nll": (rows, samples),
            "nll_again": (rows, samples),
            "dlogits": logits.shape,
            **{f"d{n}": shape for n, shape in shapes.items()},
        },
        gradients={"logits": "dlogits", **{n: f"d{n}" for n in shapes}},
        forward=forward,
        backward=backward,
        setup=setup,
        batched=("logits", "x", "w"),
        sizes={"the batch size": rows, "the samples": samples, "the pixels": pixels},
        runs_forward=True,
        value_again="nll_again",
        written_by={
            "nll": "out[...] = … in nll",
            "nll_again": "nll[...] = … in nll_and_grad",
            "dlogits": "dlogits[...] = … in nll_and_grad",
            **{f"d{n}": f"g.{n}[...] = … in grad_params" for n in shapes},
        },
        expand_to=(rows, samples),
    )
