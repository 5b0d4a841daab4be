"""What a trained model is worth: its ELBO and its latent units."""

from scratchvae.evaluation.elbo import (
    Evaluation,
    active_units,
    describe_protocol,
    evaluate,
    visible,
)

__all__ = ["Evaluation", "active_units", "describe_protocol", "evaluate", "visible"]
