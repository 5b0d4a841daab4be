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
    """Of each latent unit, whether Var_x[μ_j(x)] > 0.01  (E34): Burda et al. 2016, section 5.2.

    ``mu``: (N, Z), of any float type -> (Z,).
    """
    with np.errstate(all="ignore"):  # the variance of an overflow is NaN, and not active
        return mu.var(axis=0, dtype=np.float64) > ACTIVE


def without_units(model: Model, cut: NDArray[np.bool_]) -> Model:
    """A copy of a model whose latent units ``cut`` (Z,) say nothing and are not listened to.

    Their q(z|x) is the prior N(0, 1) for every image, so that they cost nothing, and their
    outgoing weights are zero. Raises ``ConfigError`` for a decoder that does not begin with a
    dense layer, whose weights of a unit are a row.
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
