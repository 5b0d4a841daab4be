"""The figures of a paper or a lecture, from plain host arrays to a matplotlib Figure.

The functions of the table take host arrays of any real dtype and know no model; an array of the
wrong shape is a `ConfigError` that names it. A figure touches neither pyplot nor a display nor the
reader's matplotlibrc, and `save` writes the same bytes for the same numbers. matplotlib and SciPy
are imported when the first figure is drawn, not by importing this package.

| function | shows |
|---|---|
| `data_samples` | images of a data set |
| `reconstructions` | originals above their reconstructions |
| `prior_samples` | decoder means beside draws, z from the prior |
| `loss_curves` | −ELBO over the epochs, and its two terms |
| `film_strip` | originals above their reconstructions, epoch by epoch |
| `interpolations` | decoder means on the way from one image to another |
| `completions` | whole images, what was observed of them, and their completions |
| `posterior_contours` | p(observed, z) of a 2-D latent, and the q(z) that was fitted to it |
| `posterior_draws` | p(x, z) of a 2-D latent under some models, with draws of q(z given x) |
| `gradient_noise` | variance and bias of every estimator's gradient, layer by layer |
| `estimator_curves` | test loss and KL over the epochs, one line per estimator |
| `compared_curves` | test −ELBO and KL over the epochs, one line per run |
| `kl_by_unit` | the KL of each latent unit, run by run |
| `compared_images` | a row of images for each run |
| `beta_comparison` | posterior means and prior samples of an autoencoder beside a VAE's |
| `beta_sweep` | quantities over β, a dot per seed |
| `by_pass` | −log p(x), or active units, over the passes of a study in stages |
| `feature_reconstructions` | reconstructed over actual values of a table, a panel per feature |
| `feature_errors` | the part of each feature's variance that is left unexplained |
| `feature_distributions` | each feature in the data and in the model's draws |
| `latent_scatter` | posterior means of a 2-D latent, and the same through Φ |
| `latent_grid` | decoder means over the 2-D latent plane, at `latent_grid_points` |

`draw_run` draws most of them for a trained model, `draw_completion` those of a completion.
"""

from scratchvae.figures.beta import Side, beta_comparison, beta_sweep
from scratchvae.figures.captions import captioned
from scratchvae.figures.comparison import (
    History,
    compared_curves,
    compared_images,
    kl_by_unit,
)
from scratchvae.figures.completion import completions
from scratchvae.figures.contours import Plane, posterior_contours, posterior_draws
from scratchvae.figures.curves import loss_curves
from scratchvae.figures.estimators import GradientNoise, estimator_curves, gradient_noise
from scratchvae.figures.features import (
    feature_distributions,
    feature_errors,
    feature_reconstructions,
)
from scratchvae.figures.film import film_strip
from scratchvae.figures.images import data_samples, prior_samples, reconstructions
from scratchvae.figures.interpolation import interpolations
from scratchvae.figures.manifold import latent_grid, latent_grid_levels, latent_grid_points
from scratchvae.figures.run import draw_completion, draw_run
from scratchvae.figures.saving import save
from scratchvae.figures.scatter import latent_scatter
from scratchvae.figures.stages import Curve, by_pass, draw_stages

__all__ = [
    "Curve",
    "GradientNoise",
    "History",
    "Plane",
    "Side",
    "beta_comparison",
    "beta_sweep",
    "by_pass",
    "captioned",
    "compared_curves",
    "compared_images",
    "completions",
    "data_samples",
    "draw_completion",
    "draw_run",
    "draw_stages",
    "estimator_curves",
    "feature_distributions",
    "feature_errors",
    "feature_reconstructions",
    "film_strip",
    "gradient_noise",
    "interpolations",
    "kl_by_unit",
    "latent_grid",
    "latent_grid_levels",
    "latent_grid_points",
    "latent_scatter",
    "loss_curves",
    "posterior_contours",
    "posterior_draws",
    "prior_samples",
    "reconstructions",
    "save",
]
