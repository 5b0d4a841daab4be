"""Which latent units are at work, and a model without those that are not."""

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import HostArray
from scratchvae.errors import ConfigError
from scratchvae.latent import LogStdHead
from scratchvae.layers import Dense, Sequential
from scratchvae.memory import FlatBuffer
from scratchvae.models import Model, TwoLayerVAE
from scratchvae.types import Values

ACTIVE = 0.01  # a latent unit is active when the variance of its μ over images exceeds this
NO_NOISE = -60.0  # a log σ, or log σ², beyond which σ is nothing


def is_active(mu: NDArray) -> NDArray[np.bool_]:
    """Whether Var_x[μ_j(x)] > 0.01, for each latent unit  (E34): ``mu`` (N, Z) -> (Z,).

    Source: Burda et al. 2016, section 5.2.
    """
    with np.errstate(all="ignore"):  # the variance of an overflow is NaN, and not active
        return mu.var(axis=0, dtype=np.float64) > ACTIVE


def active_units(mu: NDArray) -> int:
    """How many latent units :func:`is_active` counts as active  (E34).

    ``mu``: (N, Z), of any float type.
    """
    return int(is_active(mu).sum())


def layer_means(model: Model, images: Values) -> list[HostArray]:
    """The μ of each stochastic layer, by which its units are active or not  (E34).

    (N, Z) for each. Of a second layer it is μ_2 at z_1 = μ_1(x), not averaged over q(z_1|x).
    """
    mu = model.encode(images).mu
    if not isinstance(model.vae, TwoLayerVAE):
        return [mu]
    first = model.vae.first
    return [model.encoder_output(images)[:, :first], mu[:, first:]]


def last_dense(name: str, layers: Sequential) -> str:
    """The parameters' name of the layer that computes a network's [μ | log σ²] or [μ | log σ]."""
    last = len(layers.layers) - 1
    return f"{name}.{last - isinstance(layers.layers[last], LogStdHead)}"


def without_units(model: Model, cut: NDArray[np.bool_]) -> Model:
    """A copy of a model in which the latent units ``cut`` (Z,) carry no information.

    Their q(z|x) is the prior N(0, 1) for every image, so their KL is zero, and so are their
    weights in the decoder; under a prior network, the noise of z. Raises ``ConfigError`` unless
    the decoder begins with a dense layer, in which a row of W belongs to each unit.
    """
    vae = model.vae
    if vae.flow.length:
        raise ConfigError(
            "a flow mixes the units, and so does a second layer: none can be cut out of q(z|x)"
        )
    if not isinstance(vae.decoder.layers[0], Dense):
        raise ConfigError(
            f"the decoder begins with {vae.decoder.layers[0]!r}, which has no weights of a single "
            "latent unit: units are cut out of decoders that begin with a dense layer"
        )
    columns = np.concatenate([cut, cut])  # of [μ | log σ²], which are 0 for N(0, 1)
    arrays = model.params.to_host()
    last = last_dense("encoder", vae.encoder)
    arrays[f"{last}.W"][:, columns] = 0
    arrays[f"{last}.b"][columns] = 0
    if "prior" in vae.networks():  # a prior network's μ of the unit stays, its noise goes
        layers, _ = vae.networks()["prior"]
        columns[: len(cut)] = False
        arrays[f"{last_dense('prior', layers)}.W"][:, columns] = 0
        arrays[f"{last_dense('prior', layers)}.b"][columns] = NO_NOISE
    else:
        arrays["decoder.0.W"][: len(cut)][cut] = 0
    params = FlatBuffer(model.bk, vae.layout)
    params.load(arrays)
    return Model(vae, model.bk, params=params)
