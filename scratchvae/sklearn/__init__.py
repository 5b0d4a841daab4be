"""Estimators for scikit-learn: a VAE as a transformer and density, and a detector of outliers.

This part of the package alone imports scikit-learn, 1.6 or newer: the extra ``sklearn`` brings it.
"""

try:
    from scratchvae.sklearn.outliers import VAEOutlierDetector
    from scratchvae.sklearn.vae import VAE
except ImportError as error:
    if (error.name or "").partition(".")[0] != "sklearn":
        raise
    raise ImportError(
        'scratchvae.sklearn needs scikit-learn 1.6 or newer: pip install "scikit-learn>=1.6"'
    ) from error

__all__ = ["VAE", "VAEOutlierDetector"]
