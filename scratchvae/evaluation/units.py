"""Which latent units are at work, and a model without those that are not."""

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.latent import LogStdHead
from scratchvae.layers import Dense
from scratchvae.memory import FlatBuffer
from scratchvae.models import Model

ACTIVE = 0.01  # a latent unit is active when the variance of its μ over images exceeds this


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


def without_units(model: Model, cut: NDArray[np.bool_]) -> Model:
    """A copy of a model in which the latent units ``cut`` (Z,) carry no information.

    Their q(z|x) is the prior N(0, 1) for every image, so their KL is zero, and so are their
    weights in the decoder. Raises ``ConfigError`` unless the decoder begins with a dense layer,
    in which a row of W belongs to each unit.
    """
    vae = model.vae
    if not isinstance(vae.decoder.layers[0], Dense):
        raise ConfigError(
            f"the decoder begins with {vae.decoder.layers[0]!r}, which has no weights of a single "
            "latent unit: units are cut out of decoders that begin with a dense layer"
        )
    last = len(vae.encoder.layers) - 1
    last -= isinstance(vae.encoder.layers[last], LogStdHead)
    columns = np.concatenate([cut, cut])  # of [μ | log σ²], which are 0 for N(0, 1)
    arrays = model.params.to_host()
    arrays[f"encoder.{last}.W"][:, columns] = 0
    arrays[f"encoder.{last}.b"][columns] = 0
    arrays["decoder.0.W"][cut] = 0
    params = FlatBuffer(model.bk, vae.layout)
    params.load(arrays)
    return Model(vae, model.bk, params=params)
