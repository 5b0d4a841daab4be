"""Estimators for scikit-learn: a VAE as a transformer and density, and a detector of outliers.

This part of the package alone imports scikit-learn, 1.6 or newer: the extra ``sklearn`` brings it.
"""

try:
    from sklearn.utils.validation import validate_data as _since_1_6
except ImportError as error:
    raise ImportError(
        "scratchvae.sklearn needs scikit-learn 1.6 or newer: pip install -U scikit-learn"
    ) from error

from scratchvae.sklearn.outliers import VAEOutlierDetector
from scratchvae.sklearn.vae import VAE

__all__ = ["VAE", "VAEOutlierDetector"]

del _since_1_6
