"""What can be checked: each turned into a map of named host arrays with its hand-written vjp.

Loaded when first used: a function of anyone's needs neither layers nor models.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchvae.gradcheck.subjects.base import Bound, Subject
    from scratchvae.gradcheck.subjects.buffered import BoundSubject, BufferedSubject
    from scratchvae.gradcheck.subjects.estimator import estimator_subject
    from scratchvae.gradcheck.subjects.function import FunctionSubject
    from scratchvae.gradcheck.subjects.latent import kl_subject, reparameterize_subject
    from scratchvae.gradcheck.subjects.layer import layer_subject, sequential_subject
    from scratchvae.gradcheck.subjects.likelihood import likelihood_subject
    from scratchvae.gradcheck.subjects.model import model_subject, normal_parameters
    from scratchvae.gradcheck.subjects.posterior import posterior_subject

_HOME = {
    "Bound": "base",
    "BoundSubject": "buffered",
    "BufferedSubject": "buffered",
    "FunctionSubject": "function",
    "Subject": "base",
    "estimator_subject": "estimator",
    "kl_subject": "latent",
    "layer_subject": "layer",
    "likelihood_subject": "likelihood",
    "model_subject": "model",
    "normal_parameters": "model",
    "posterior_subject": "posterior",
    "reparameterize_subject": "latent",
    "sequential_subject": "layer",
}

__all__ = [
    "Bound",
    "BoundSubject",
    "BufferedSubject",
    "FunctionSubject",
    "Subject",
    "estimator_subject",
    "kl_subject",
    "layer_subject",
    "likelihood_subject",
    "model_subject",
    "normal_parameters",
    "posterior_subject",
    "reparameterize_subject",
    "sequential_subject",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
