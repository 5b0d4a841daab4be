"""A Sequential as a subject: bound to a workspace exactly as a model binds it."""

from collections.abc import Mapping

from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.subjects.buffered import BufferedSubject, Buffers
from scratchvae.gradcheck.subjects.layer import draw_parameters
from scratchvae.layers import Sequential
from scratchvae.memory import FlatBuffer, Layout, Workspace


def sequential_subject(
    layers: Sequential,
    x: NDArray,
    parameters: Mapping[str, NDArray] | None = None,
    seed: int = 0,
    name: str = "Sequential",
) -> BufferedSubject:
    """y = f(x; p) of all layers at x (B, …); parameters are named ``0.W``, ``0.b``, ``2.W``, …"""
    row = tuple(x.shape[1:])
    out = layers.infer_shape(row)
    shapes = {p.name: p.shape for p in layers.parameters(row)}
    values = draw_parameters(shapes, parameters, seed, name)

    def setup(bk: Backend, buffers: Buffers) -> None:
        layout = Layout({f"f.{n}": shape for n, shape in shapes.items()})
        params, grads = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
        workspace = Workspace(bk, len(x))
        bound = layers.bind(
            workspace, "f", buffers["x"], workspace.buffer("dx", *x.shape[1:]), params, grads
        )
        buffers |= {n: params[f"f.{n}"] for n in shapes}
        buffers |= {f"d{n}": grads[f"f.{n}"] for n in shapes}
        buffers |= {"y": bound.y, "dx": bound.dx, "bound": bound, "workspace": workspace}

    def forward(bk: Backend, buffers: Buffers) -> None:
        buffers["bound"].forward()

    def backward(bk: Backend, buffers: Buffers) -> None:
        buffers["bound"].dy[...] = buffers["w"]
        buffers["bound"].backward()

    return BufferedSubject(
        name=name,
        args={"x": x, **values},
        constants={},
        w_shape=(len(x), *out),
        y="y",
        writes={},
        gradients={"x": "dx", **{n: f"d{n}" for n in shapes}},
        forward=forward,
        backward=backward,
        setup=setup,
        batched=("x", "w"),
        sizes={"the batch size": len(x)},
        accepts_views=False,
    )
