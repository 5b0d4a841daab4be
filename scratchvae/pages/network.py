"""A model as the scripts of a page read it: its layers in words, its numbers as base64."""

import base64
import math

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.latent import AnalyticKL, LogStdHead
from scratchvae.layers import Conv2D, ConvTranspose2D, Dense, Layer, ReLU, Sequential, Sigmoid, Tanh
from scratchvae.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    GaussianLikelihood,
)
from scratchvae.memory import Shape
from scratchvae.models import VAE, Label, Model, SomeLabels
from scratchvae.types import Json, JsonView

KINDS: dict[type[Layer], str] = {
    Dense: "dense", ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid", LogStdHead: "logstd",
    Conv2D: "conv", ConvTranspose2D: "conv-transpose",
}  # fmt: skip
UNKNOWN = "unknown"  # a class of the user's own


def require_drawable(vae: VAE) -> None:
    """``ConfigError`` unless a model has one Gaussian z, and is given nothing or a label."""
    parts = {name.partition(".")[0] for name in vae.layout.shapes}
    own = parts - {"encoder", "decoder", "prior", "classifier", "likelihood"}
    what = ""
    instead = "scratchvae plot draws its figures, and Model.decode decodes any z"
    if vae.flow.length:
        what = f"a posterior beyond it ({vae.flow.name})"
    elif own:
        what = f"parts of its own ({', '.join(sorted(own))})"
    elif vae.condition.kind not in ("", Label.kind, SomeLabels.kind):
        what = f"the condition {vae.condition.text}"
        instead = "scratchvae plot draws its completions, and Model.decode takes what is given"
    if what:
        raise ConfigError(
            f"a page shows a VAE of one Gaussian z, given nothing or a label, and this model has "
            f"{what}: {instead}"
        )


def describe_network(model: Model) -> Json:
    """The layers of its parts, the likelihood and the loss; weights are named, not included.

    Of a model given a label: the one with all labels known.
    """
    vae = model.vae.evaluated
    networks = vae.networks()
    prior = networks.get("prior")
    return {
        "pixels": vae.modelled,
        "labels": vae.pixels - vae.modelled,  # that may be given, one-hot behind x and z
        "latent": vae.latent_dim,
        "samples": vae.samples,
        "beta": vae.beta,
        "estimator": repr(vae.estimator),
        "encoder": _layers("encoder", vae.encoder, (vae.pixels,)),
        "decoder": _layers("decoder", vae.decoder, (networks["decoder"][1],)),
        "prior": _layers("prior", prior[0], (prior[1],)) if prior else [],
        "likelihood": _likelihood(model),
    }


def what_is_unknown(network: Json) -> str:
    """The first part of a network that no script of a page can compute, or ""."""
    layers = [layer for part in ("encoder", "decoder", "prior") for layer in network[part]]
    found = [each["text"] for each in (*layers, network["likelihood"]) if each["kind"] == UNKNOWN]
    return found[0] if found else ""


def why_not_live(model: Model, network: Json) -> str:
    """Why a page can't compute this model's gradients anew, as half a sentence; "" if it can."""
    unknown = what_is_unknown(network)
    kinds = {layer["kind"] for part in ("encoder", "decoder") for layer in network[part]}
    if unknown:
        return f"{unknown} is a class that this page does not know"
    if model.vae.condition.kind:
        return "it is given a label, and the page repeats the step of a plain VAE"
    if kinds & {"conv", "conv-transpose"}:
        return "it has convolutions, whose backward pass this page does not repeat"
    if type(model.vae.estimator) is not AnalyticKL:
        return f"its estimator is {model.vae.estimator!r}, and the page repeats that of E2 alone"
    if type(model.vae.likelihood) not in (Bernoulli, ContinuousBernoulli, Gaussian):
        return (
            f"its likelihood is {model.vae.likelihood!r}, whose gradient the page does not repeat"
        )
    return ""


def _layers(part: str, layers: Sequential, row: Shape) -> list[Json]:
    """A dictionary for each layer; views of the same numbers are marked as such."""
    found: list[Json] = []
    shapes = layers.shapes(row)
    for i, (layer, before, after) in enumerate(
        zip(layers.layers, shapes, shapes[1:], strict=False)
    ):
        kind = "view" if layer.is_view else KINDS.get(type(layer), UNKNOWN)
        about: Json = {
            "label": f"{part}.{i}",
            "kind": kind,
            "text": repr(layer),
            "inputs": math.prod(before),
            "outputs": math.prod(after),
            "parameters": list(layer.parameters(before)),
        }
        if isinstance(layer, Conv2D | ConvTranspose2D):
            map_ = layer.correlation(before)
            about |= {
                "big": list(map_.big),
                "small": list(map_.small),
                "kernel": [map_.y.kernel, map_.x.kernel],
                "stride": [map_.y.stride, map_.x.stride],
                "before": [map_.y.before, map_.x.before],
            }
        found.append(about)
    return found


def _likelihood(model: Model) -> Json:
    likelihood = model.vae.likelihood
    about: Json = {"kind": UNKNOWN, "text": repr(likelihood), "name": likelihood.describe()}
    if type(likelihood) in (Bernoulli, ContinuousBernoulli):
        about["kind"] = "bernoulli" if type(likelihood) is Bernoulli else "continuous-bernoulli"
    elif type(likelihood) is Categorical:
        about |= {"kind": "categorical", "levels": likelihood.n_levels}
    elif isinstance(likelihood, GaussianLikelihood):
        wide = model.to(get_backend("cpu", "float64"))
        std = likelihood.std(wide.bk, wide.params.namespace("likelihood"))
        about |= {
            "kind": "gaussian",
            "mean": likelihood.mean_map,
            "std": np.broadcast_to(std, (model.vae.modelled,)).tolist(),
        }
    return about


def packed(a: NDArray, dtype: str) -> Json:
    """An array as base64 of its little-endian bytes, row by row.

    ``dtype``: float64, float32, uint8, or float16, which holds the array divided by its largest
    magnitude, so that nothing overflows or vanishes; that "scale" comes with it.
    """
    content: Json = {"shape": list(a.shape), "dtype": dtype}
    if dtype == "float16":
        largest = float(np.abs(a).max(initial=0.0))
        content["scale"] = largest if largest > 0 else 1.0
        a = np.asarray(a, np.float64) / content["scale"]
    data = np.ascontiguousarray(a, np.dtype(dtype).newbyteorder("<")).tobytes()
    return content | {"data": base64.b64encode(data).decode()}


def unpacked(content: JsonView) -> NDArray[np.float64]:
    """The numbers of :func:`packed`, as the scripts of a page read them."""
    kind = np.dtype(content["dtype"]).newbyteorder("<")
    a = np.frombuffer(base64.b64decode(content["data"]), kind).astype(np.float64)
    return a.reshape(content["shape"]) * content.get("scale", 1.0)


def small_vae() -> VAE:
    """A VAE small enough that every number of a step fits on a screen: 4 pixels, 3 and 2 units."""
    return VAE.mlp(4, hidden=(3,), latent_dim=2, activation="tanh")
