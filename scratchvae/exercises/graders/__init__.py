"""The graders: for each exercise its parts, each judged by an oracle that is no code of its own.

Values are compared with SciPy, with quadrature or with a closed form; gradients with a complex step
through such a value. No answer is stored, so any correct formula passes.
"""

from collections.abc import Callable, Mapping
from types import ModuleType

from scratchvae.exercises.graders import (
    adam,
    latent,
    layers,
    likelihood,
    own_form,
    sampling,
    training,
    whole,
)

Grader = Callable[[ModuleType], None]

PARTS: Mapping[str, Mapping[str, Grader]] = {
    "dense": {"dense": layers.dense},
    "dense_gradients": {
        "dense_grad_params": layers.dense_grad_params,
        "dense_grad_input": layers.dense_grad_input,
    },
    "activations": {
        "relu": layers.relu,
        "relu_grad": layers.relu_grad,
        "sigmoid": layers.sigmoid,
    },
    "bernoulli": {
        "bernoulli_nll": likelihood.bernoulli_nll,
        "bernoulli_grad": likelihood.bernoulli_grad,
    },
    "reparameterization": {
        "reparameterize": latent.reparameterize,
        "reparameterize_grad": latent.reparameterize_grad,
    },
    "kl": {"kl": latent.kl, "kl_grad": latent.kl_grad},
    "backward": {"loss_and_gradient": whole.loss_and_gradient},
    "adam": {"adam": adam.adam},
    "training": {"train": training.train},
    "sigmoid_layer": {
        "sigmoid": own_form.sigmoid,
        "Sigmoid.grad_input": own_form.sigmoid_grad_input,
    },
    "log_mean_exp": {"LogMeanExp": sampling.log_mean_exp},
    "iwae": {"importance_bound": sampling.importance_bound},
    "sticking_the_landing": {"path_grad": sampling.path_grad},
    "log_p": {"log_weights": sampling.log_weights},
    "dot_test": {"pairing_error": own_form.pairing_error},
}
