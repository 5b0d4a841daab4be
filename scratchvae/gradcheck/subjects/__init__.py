"""What can be checked: each turned into a map of named host arrays with its hand-written vjp."""

from scratchvae.gradcheck.subjects.base import Bound, Subject
from scratchvae.gradcheck.subjects.buffered import BoundSubject, BufferedSubject
from scratchvae.gradcheck.subjects.estimator import estimator_subject
from scratchvae.gradcheck.subjects.function import FunctionSubject
from scratchvae.gradcheck.subjects.latent import kl_subject, reparameterize_subject
from scratchvae.gradcheck.subjects.layer import layer_subject
from scratchvae.gradcheck.subjects.likelihood import likelihood_subject
from scratchvae.gradcheck.subjects.model import model_subject
from scratchvae.gradcheck.subjects.posterior import posterior_subject
from scratchvae.gradcheck.subjects.sequential import sequential_subject

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
    "posterior_subject",
    "reparameterize_subject",
    "sequential_subject",
]
