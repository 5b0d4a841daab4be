"""Mutants that change nothing, each with its algebra in one line."""

NO_SCRATCH = "the plain equation has no use for the scratch buffer"
LAST_AXIS = "an array (B, Z) or (B, K) has two axes: axis 1 is axis −1"
REMAINDER = "a remainder is never negative: ≤ 0 is = 0"
WIDTH_ONLY = "only the length of its rows is read, which all of them share"

EQUIVALENT: dict[str, str] = {
    **{
        f"plain bernoulli_nll_and_grad: a wrong name: tmp -> {name}": NO_SCRATCH
        for name in ("da", "nll", "x", "a")
    },
    "ReLU.grad_input: a wrong name: y -> x": "y > 0 exactly where x > 0",
    "reparameterize_grad: a constant: 1 -> -1": LAST_AXIS,
    "kl_grad: a constant: 1 -> -1": LAST_AXIS,
    "score_grad: a constant: 1 -> -1": LAST_AXIS,
    "ScoreFunctionBaseline.advantage: a constant: 1 -> -1": LAST_AXIS,
    "Dense.grad_input: a wrong name: tmp -> dx": (
        "NumPy copies overlapping memory by way of a temporary: dx may be turned around in place"
    ),
    "kl_grad: a wrong name: std -> tmp": "only its shape is read, and tmp has the shape of std",
    "Dense.grad_params: a constant: 1 -> -1": LAST_AXIS,
    "LogStdHead.grad_input: a constant: 1 -> -1": LAST_AXIS,
    "LogStdHead.grad_input: a constant: 2 -> -2": "of 2Z columns the last Z begin at Z and at −Z",
    **{
        f"LogStdHead.grad_input: a wrong name: dx -> {name} (#3)": WIDTH_ONLY
        for name in ("x", "dy", "y")
    },
    **{
        f"GaussianLikelihood.nll_and_grad: a wrong name: x -> {name}": WIDTH_ONLY
        for name in ("logits", "squares")
    },
    "LearnedGaussian.grad_params: a constant: 1 -> 2": "reshape infers any negative size",
    **{
        f"{rule}: a comparison: t % FLUSH_EVERY == 0 -> t % FLUSH_EVERY <= 0": REMAINDER
        for rule in ("adam", "rmsprop", "sgd")
    },
    **{
        f"{layer}.grad_input: a wrong name: x -> dx": "only its shape is read, and dx has the same"
        for layer in ("Conv2D", "ConvTranspose2D")
    },
}
