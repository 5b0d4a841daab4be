"""How a VAE is made, as JSON can hold it: the classes of its parts and their settings."""

from collections.abc import Sequence
from importlib import import_module
from typing import TypeVar

from scratchvae.errors import ConfigError
from scratchvae.latent import Estimator, Flow
from scratchvae.layers import HEAD_STARTS, INITIALIZATIONS, Layer, Sequential
from scratchvae.likelihoods import Likelihood
from scratchvae.models.condition import SomeLabels, parse_condition
from scratchvae.models.conditional import ConditionalVAE
from scratchvae.models.semi_supervised import M2
from scratchvae.models.two_layers import SecondLayer, TwoLayerVAE
from scratchvae.models.vae import VAE
from scratchvae.types import Json, JsonView

Part = TypeVar("Part")  # a layer, a likelihood, an estimator or a flow
OWN = "scratchvae."  # only classes of this package are made again: a file can name no other code


def recipe_of(vae: VAE) -> Json:
    """The classes and settings of all parts of ``vae``, as JSON can hold them."""
    recipe: Json = {
        "pixels": vae.pixels,
        "latent_dim": vae.latent_dim,
        "beta": vae.beta,
        "samples": vae.samples,
        "encoder": _describe_all(vae.encoder),
        "decoder": _describe_all(vae.decoder),
        "likelihood": _describe(vae.likelihood),
        "estimator": _describe(vae.estimator),
    }
    if isinstance(vae, TwoLayerVAE):
        return recipe | _second_layer_of(vae)
    return recipe | {"flow": _describe(vae.flow)} | _condition_of(vae)


def _second_layer_of(vae: TwoLayerVAE) -> Json:
    """What the recipe of two stochastic layers has in addition."""
    second = vae.second
    networks = {"up": _describe_all(second.up), "down": _describe_all(second.down)}
    return {"first": vae.first, "second": networks}


def _condition_of(vae: VAE) -> Json:
    """What the recipe of a conditional model has in addition."""
    if not isinstance(vae, ConditionalVAE):
        return {}
    if isinstance(vae, M2):
        classifier = _describe_all(vae.classifier)
        weight = vae.classifier_weight
        return {
            "condition": vae.condition.text,
            "classifier": classifier,
            "classifier_weight": weight,
            "samples": 1,
        }
    prior = None if vae.prior is None else _describe_all(vae.prior)
    return {"condition": vae.condition.text, "prior": prior}


def make_vae(recipe: JsonView) -> VAE:
    """The VAE of a recipe that :func:`recipe_of` returned.

    Raises ``ConfigError`` for classes from outside this package and for recipes that describe no
    VAE.
    """
    try:
        condition = parse_condition(recipe.get("condition", ""))
        how: Json = {name: recipe[name] for name in ("latent_dim", "beta", "samples")}
        how |= {
            name: _make_all(recipe[name])
            for name in ("encoder", "decoder", "prior", "classifier")
            if recipe.get(name) is not None
        }
        how["likelihood"] = _make(recipe["likelihood"], Likelihood)
        how["estimator"] = _make(recipe["estimator"], Estimator)
        if "second" in recipe:
            return _make_two_layers(recipe, how)
        if "flow" in recipe:  # which older files lack
            how["flow"] = _make(recipe["flow"], Flow)
        if not condition.kind:
            return VAE(recipe["pixels"], **how)
        pixels, prior = condition.pixels(recipe["pixels"]), how.pop("prior", None)
        classifier = how.pop("classifier", None)
        plain = VAE(condition.modelled(recipe["pixels"]), **how)
        if isinstance(condition, SomeLabels):
            weight = recipe["classifier_weight"]
            return M2(plain, pixels, classifier, condition.classes, classifier_weight=weight)
        return ConditionalVAE(plain, pixels, condition, prior)
    except (KeyError, TypeError, AttributeError, ImportError) as error:
        raise ConfigError(f"the recipe of the model cannot be followed: {error}") from error


def _make_two_layers(recipe: JsonView, how: Json) -> TwoLayerVAE:
    """Two stochastic layers, from what :func:`make_vae` has read of the recipe so far."""
    first = recipe["first"]
    up, down = (_make_all(recipe["second"][name]) for name in ("up", "down"))
    second = SecondLayer(up, down, recipe["latent_dim"] - first)
    encoder = Sequential(*how["encoder"].layers[:-1])  # the constructor adds the last
    one_layer = VAE(recipe["pixels"], **how | {"encoder": encoder, "latent_dim": first})
    return TwoLayerVAE(one_layer, second)


def _describe_all(layers: Sequential) -> list[Json]:
    return [_describe(layer) for layer in layers.layers]


def _make_all(described: Sequence[JsonView]) -> Sequential:
    return Sequential(*(_make(part, Layer) for part in described))


def _describe(part: object) -> Json:
    kind = type(part)
    settings = {name: _as_json(value) for name, value in vars(part).items()}
    return {"class": f"{kind.__module__}:{kind.__qualname__}", "settings": settings}


def _as_json(value: object) -> object:
    """A setting as JSON can hold it: numbers, texts, tuples of them, initializations by name."""
    for name, initialization in INITIALIZATIONS.items():
        for heads, start in HEAD_STARTS.items():
            if value == start(initialization):
                return {"init": name} | ({} if heads == "joint" else {"heads": heads})
    if isinstance(value, tuple | list):
        return [_as_json(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return {"unknown": repr(value)}


def _make(described: JsonView, base: type[Part]) -> Part:
    module, _, name = described["class"].partition(":")
    settings = {key: _from_json(value) for key, value in described["settings"].items()}
    kind = getattr(import_module(module), name, None) if module.startswith(OWN) else None
    if not (isinstance(kind, type) and issubclass(kind, base)) or UNKNOWN in settings.values():
        raise ConfigError(
            f"the model has a {base.__name__.lower()} of your own, {described['class']}, which a "
            "file cannot make again: put the VAE together as you did and hand it over (vae=...)"
        )
    part: Part = object.__new__(kind)  # a part holds its settings and nothing else
    part.__dict__.update(settings)
    return part


UNKNOWN = object()


def _from_json(value: object) -> object:
    if isinstance(value, dict):
        if "init" not in value:
            return UNKNOWN
        return HEAD_STARTS[value.get("heads", "joint")](INITIALIZATIONS[value["init"]])
    return tuple(map(_from_json, value)) if isinstance(value, list) else value
