"""A layer as a subject, and a Sequential, bound to a workspace exactly as a model binds it."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.points import point
from scratchvae.gradcheck.subjects.buffered import BufferedSubject, Buffers, writes_only
from scratchvae.layers import Layer, Sequential
from scratchvae.layers.base import WHOLE
from scratchvae.memory import FlatBuffer, Layout, Views, Workspace


def layer_subject(
    layer: Layer,
    x: NDArray,
    parameters: Mapping[str, NDArray] | None = None,
    seed: int = 0,
    name: str | None = None,
    inplace: bool = False,
) -> BufferedSubject:
    """y = f(x; p) of a layer at x (B, …) and at ``parameters``, random ones unless given.

    ``inplace``: y is written over x and dx over dy, as a layer that declares it must allow.
    """
    label = name or repr(layer)
    row = tuple(x.shape[1:])
    out = layer.infer_shape(row)
    shapes = {n: shape for n, (shape, _) in layer.parameters(row).items()}
    values = draw_parameters(shapes, parameters, seed, label)
    rows = len(x)
    y, dx = ("x", "w") if inplace else ("y", "dx")

    def namespaces(buffers: Buffers) -> tuple[Views, Views]:
        p = SimpleNamespace(**{n: buffers[n] for n in shapes})
        return p, SimpleNamespace(**{n: buffers[f"d{n}"] for n in shapes})

    def forward(bk: Backend, buffers: Buffers) -> None:
        p, _ = namespaces(buffers)
        writes_only(layer.forward, "y[...] = …")(bk, p, buffers["x"], buffers[y])

    def backward(bk: Backend, buffers: Buffers, shares: Sequence[slice] = (WHOLE,)) -> None:
        p, g = namespaces(buffers)
        dy = buffers["w"]
        for share in shares:
            writes_only(layer.grad_params, "g.W[...] = …")(bk, buffers["x"], dy, g, share)
        writes_only(layer.grad_input, "dx[...] = …")(
            bk, p, buffers["x"], buffers[y], dy, buffers[dx], buffers.get("tmp")
        )

    def by_shares(bk: Backend, buffers: Buffers) -> None:
        n = next(iter(shapes.values()))[0]
        backward(bk, buffers, (slice(0, n // 2), slice(n // 2, n)))

    writes = {f"d{n}": shape for n, shape in shapes.items()}
    written_by = {f"d{n}": f"g.{n}[...] = … in grad_params" for n in shapes}
    if not inplace:
        written_by |= {"y": "y[...] = … in forward", "dx": "dx[...] = … in grad_input"}
        writes |= {"y": (rows, *out), "dx": x.shape}
    if layer.scratch_like:
        writes["tmp"] = x.shape if layer.scratch_like == "x" else (rows, *out)
    return BufferedSubject(
        name=label,
        args={"x": x, **values},
        constants={},
        w_shape=(rows, *out),
        y=y,
        writes=writes,
        gradients={"x": dx, **{n: f"d{n}" for n in shapes}},
        forward=forward,
        backward=backward,
        batched=("x", "w"),
        by_shares=by_shares if shapes else None,
        destroys=("x", "w") if inplace else (),
        sizes={"the batch size": rows, **_row_sizes(x.shape[1:], out)},
        written_by=written_by,
        in_place=(
            layer_subject(layer, x, values, seed, label, inplace=True)
            if layer.inplace and not inplace
            else None
        ),
    )


def draw_parameters(
    shapes: Mapping[str, tuple[int, ...]],
    given: Mapping[str, NDArray] | None,
    seed: int,
    label: str,
) -> dict[str, NDArray]:
    """The parameters that were given, or normal ones; every name and shape checked."""
    if given is None:
        return {n: 0.5 * point(shape, seed, f"{label} {n}") for n, shape in shapes.items()}
    if set(given) != set(shapes):
        raise ConfigError(f"{label} has the parameters {sorted(shapes)}, not {sorted(given)}")
    for n, shape in shapes.items():
        if tuple(given[n].shape) != tuple(shape):
            raise ConfigError(f"{label}: {n} has shape {given[n].shape}, expected {shape}")
    return dict(given)


def _row_sizes(before: tuple[int, ...], after: tuple[int, ...]) -> dict[str, int]:
    sizes = {"the inputs of a row": before[-1]} if before else {}
    return sizes | ({"the outputs of a row": after[-1]} if after else {})


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
