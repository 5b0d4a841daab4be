"""The exercises, in the order of the tour: each declared once, here."""

from scratchvae.errors import ConfigError, did_you_mean
from scratchvae.exercises.exercise import Exercise, file_name
from scratchvae.exercises.source import Class, Gap, Given, Piece, Whole

NUMPY = "import numpy as np\nfrom numpy.typing import NDArray\n\nArray = NDArray"

DENSE = Exercise(
    name="dense",
    title="The dense layer",
    text="""
A network is made of layers, and most of its work is done by this one: each output is a weighted
sum of all inputs, plus a bias. For B images at once it is one matrix product.

    y[n, j] = Σ_i x[n, i] W[i, j] + b[j]        that is   y = x W + b        (E3)
""",
    hint="A matrix product is `@`, and NumPy adds a row of O numbers to each of B rows by "
    "itself.",
    labels=("E3",),
    imports=NUMPY,
    code=(
        Piece(
            "reference", "run", ("E3",),
            "def dense(x: Array, W: Array, b: Array) -> Array:",
            "y of a dense layer  (E3): x (B, I), W (I, O), b (O,) -> (B, O).",
            "y",
        ),
    ),
)  # fmt: skip

DENSE_GRADIENTS = Exercise(
    name="dense_gradients",
    title="The two gradients of the dense layer",
    text="""
Backward, the layer is handed dy, the gradient of the loss with respect to its outputs. From it
come two gradients: the one with respect to W and b is for the update, the one with respect to x
for the layer below. Both are the chain rule, summed over all outputs that a number acts on: x[n,
i] acts on the outputs of row n, W[i, j] on output j of every row.

    dW[i, j] = Σ_n x[n, i] dy[n, j],   db[j] = Σ_n dy[n, j]        (E5)
    dx[n, i] = Σ_j dy[n, j] W[i, j]                                (E4)

No mean is taken here: the loss is a mean over the images, and its 1/B is in dy already.
""",
    hint="A matrix product sums over the last axis of its left factor and the first of its "
    "right one. Which of the two has to be turned with .T, so that the sum is over n, or "
    "over j? The shapes leave one way only.",
    labels=("E5", "E4"),
    imports=NUMPY,
    code=(
        Piece(
            "reference", "run_back", ("E5",),
            "def dense_grad_params(x: Array, dy: Array) -> tuple[Array, Array]:",
            "dW (I, O) and db (O,) from x (B, I) and dy (B, O)  (E5).",
            "dW, db",
        ),
        Piece(
            "reference", "run_back", ("E4",),
            "def dense_grad_input(dy: Array, W: Array) -> Array:",
            "dx (B, I) from dy (B, O) and W (I, O)  (E4).",
            "dx",
        ),
    ),
)  # fmt: skip

ACTIVATIONS = Exercise(
    name="activations",
    title="ReLU, its gradient, and the sigmoid",
    text="""
Without something between them, two dense layers are one. The ReLU lets through what is positive.
Its output x is the next layer's input, and enough to go back: x > 0 exactly where y > 0.

    x = y where y > 0, else 0                   (E10)
    dy = dx where x > 0, else 0                 (E11)

The sigmoid turns any number into a probability.

    s = 1 / (1 + e^−a) = ½ tanh(a / 2) + ½      (E6)

It must be right, and not NaN, for logits such as 800 and −800.
""",
    hint="np.maximum and np.where do it element by element. Of the two forms of the sigmoid, "
    "one cannot overflow.",
    labels=("E10", "E11", "E6"),
    imports=NUMPY,
    code=(
        Piece(
            "reference", "run", ("E10",),
            "def relu(y: Array) -> Array:",
            "The next layer's input x, from this layer's output y  (E10).",
            "x",
        ),
        Piece(
            "reference", "run_back", ("E11",),
            "def relu_grad(x: Array, dx: Array) -> Array:",
            "dy from dx, with x = relu(y)  (E11).",
            "dy",
        ),
        Piece(
            "reference", "loss_and_gradient", ("E6",),
            "def sigmoid(a: Array) -> Array:",
            "The probability that belongs to each logit  (E6).",
            "sigmoid",
        ),
    ),
)  # fmt: skip

BERNOULLI = Exercise(
    name="bernoulli",
    title="The Bernoulli likelihood from logits, and its gradient",
    text="""
The decoder says with which probability s each pixel is white. If it is (x = 1), that costs −log s
nats, else −log(1 − s). Written in the logit a, with s = 1 / (1 + e^−a), both are one expression,
and the pixels of an image are summed:

    nll[n] = Σ_d log(1 + e^a[n, d]) − x[n, d] a[n, d]          (E18)

As it stands e^a overflows for a = 1000. log(1 + e^a) = max(a, 0) + log(1 + e^−|a|) does not. In
the gradient the logarithm and the sigmoid cancel; w is the weight of an image in the loss, 1/B.

    da = w (s − x)                                             (E19)
""",
    hint="np.log1p(y) is log(1 + y), right also for tiny y. Pixels are summed, so nll has one "
    "number per image: axis=1. The gradient is of E18 as it stands, whatever form you "
    "computed it in.",
    labels=("E18", "E19", "E6"),
    imports=NUMPY,
    code=(
        Piece(
            "reference", "loss_and_gradient", ("E18",),
            "def bernoulli_nll(x: Array, a: Array) -> Array:",
            "−log p(x|z) of each image in nats  (E18): pixels x and logits a (B, D) -> (B,).",
            "nll",
        ),
        Piece(
            "reference", "loss_and_gradient", ("E6", "E19"),
            "def bernoulli_grad(x: Array, a: Array, w: float) -> Array:",
            "da (B, D), the gradient of w · Σ_n nll[n] with respect to the logits  (E19).",
            "da",
        ),
    ),
)  # fmt: skip

REPARAMETERIZATION = Exercise(
    name="reparameterization",
    title="Reparameterization, and its gradient",
    text="""
The encoder gives a distribution, N(μ, σ²), and the decoder wants a number z drawn from it. A
random generator has no derivative. So the noise ε ~ N(0, 1) is drawn beforehand, and z is a
smooth map of it:

    σ = e^(logvar / 2),   z = μ + σ ε                          (E12)

logvar is log σ²: any real number, where a variance would have to be positive. Backward, with ε
held:

    dμ = dz,   dlogvar = dz · ∂z/∂logvar                       (E13)

Work out ∂z/∂logvar yourself.
""",
    hint="Differentiate e^(logvar / 2) with respect to logvar: the exponential stays, and the "
    "inner derivative comes in front.",
    labels=("E12", "E13"),
    imports=NUMPY,
    code=(
        Piece(
            "reference", "loss_and_gradient", ("E12",),
            "def reparameterize(mu: Array, logvar: Array, eps: Array) -> tuple[Array, Array]:",
            "σ and z, all of the shape (B, Z)  (E12).",
            "sigma, z",
        ),
        Piece(
            "reference", "loss_and_gradient", ("E13",),
            "def reparameterize_grad(dz: Array, eps: Array, sigma: Array) -> tuple[Array, Array]:",
            "dμ and d log σ² (B, Z) from dz, with ε and σ as in the forward pass  (E13).",
            "dmu, dlogvar",
        ),
    ),
)  # fmt: skip

KL = Exercise(
    name="kl",
    title="The divergence from the prior, and its gradient",
    text="""
Saying something about z has a price: how far q = N(μ, σ²) is from the prior N(0, 1), in nats. For
normal distributions the integral of q log(q / p) has a closed form, a term for each latent unit:

    KL[n] = Σ_j ½ (μ² + σ² − 1 − log σ²)                       (E16)

μ and log σ² act on the loss along two paths, through z and through the KL. So its gradient is
*added* to what has come from the likelihood; w is the weight of an image and β that of the KL.

    dμ += w β ∂KL/∂μ,   dlogvar += w β ∂KL/∂logvar             (E17)

Work out the derivatives yourself; mind that one is with respect to log σ², not to σ.
""",
    hint="Write σ² as e^logvar: it is its own derivative with respect to logvar.",
    labels=("E16", "E17"),
    imports=NUMPY,
    code=(
        Piece(
            "reference", "loss_and_gradient", ("E16",),
            "def kl(mu: Array, sigma: Array, logvar: Array) -> Array:",
            "KL of each image in nats  (E16): (B, Z) each, sigma = e^(logvar / 2) -> (B,).",
            "kl",
        ),
        Piece(
            "reference", "loss_and_gradient", ("E17",),
            "def kl_grad(\n    mu: Array, sigma: Array, w: float, beta: float, dmu: Array, "
            "dlogvar: Array\n) -> tuple[Array, Array]:",
            "dμ and d log σ² (B, Z) with the gradient of w β Σ_n KL[n] added  (E17).",
            "dmu, dlogvar",
        ),
    ),
)  # fmt: skip

BACKWARD = Exercise(
    name="backward",
    title="The whole backward pass of the VAE",
    text="""
Everything so far in one function. The forward half is there; write the other half, between the
comment and the return: its lines again in the opposite order, each by the chain rule.

    da (E6, E19)  →  decoder_gradient and dz (E4, E5, E11)  →  dμ, dlogvar (E13, then E17)
    →  encoder_gradient, from the two side by side, as the encoder's output has them

run_back, given, does the layers of a network: from dy of its output and the inputs that `run`
kept it makes the gradient of the network and the dx of its input. The loss is a mean over the
images (E2), so a 1/B has to come in somewhere, once.
""",
    hint="Start with w = 1 / len(x). np.hstack([dmu, dlogvar]) puts two arrays side by side, "
    "as np.split(head, 2, axis=1) took them apart.",
    labels=("E2", "E19", "E13", "E17"),
    imports="import numpy as np\n\nfrom scratchvae.reference import VAE, Array, run, run_back",
    code=(Gap("reference", "loss_and_gradient", "w", "encoder_gradient"),),
)

ADAM = Exercise(
    name="adam",
    title="Adam",
    text="""
The gradient says where up is, not how far to go. Adam keeps two averages for each parameter, of
its gradient and of the square of it, and steps by one over the root of the other: about lr,
whatever the size of the gradient. Both averages start at zero, and the divisions by 1 − β^t
correct for that.

    m ← β₁ m + (1 − β₁) g
    v ← β₂ v + (1 − β₂) g²
    p ← p − lr (m / (1 − β₁^t)) / (√(v / (1 − β₂^t)) + ε)      (E24)

p, m and v are changed in place: the caller keeps the arrays. β₁, β₂ and ε are BETA1, BETA2 and
EPS.
""",
    hint="`m = …` gives a new array the name m, and the caller's stays as it was. `m[:] = …` "
    "writes into it, and so does `p -= …`.",
    labels=("E24",),
    imports="import numpy as np\n\nfrom scratchvae.reference import BETA1, BETA2, EPS, Array",
    code=(Whole("reference", "adam"),),
)

TRAINING = Exercise(
    name="training",
    title="A training loop, on real digits",
    text="""
Each epoch goes through the images in a new order (rng.permutation), `rows` at a time; each batch
gets fresh normal noise of the shape (images, latent units), its gradient, and a step of Adam for
every array of parameters. Adam's t counts the steps from 1 and never starts again.

After each epoch, yield its loss: the mean over all images, where the last batch may be a short
one.

It is graded by what it reaches: in six epochs a right loop brings the loss of 1,000 handwritten
digits from about 44 to about 32 nats per image (E2).
""",
    hint="vae.arrays() and gradient.arrays() come in the same order, and m and v are lists of "
    "zeros like them, made once. A batch's loss is a mean: times its number of images it "
    "is a sum.",
    labels=("E2", "E24", "E12"),
    imports="from collections.abc import Iterator\n\nimport numpy as np\n"
    "from numpy.random import Generator\n\n"
    "from scratchvae.reference import VAE, Array, adam, loss_and_gradient",
    code=(Whole("reference", "train"),),
)

SIGMOID_LAYER = Exercise(
    name="sigmoid_layer",
    title="A layer in the package's own form",
    text="""
From here on you write code as it stands in the package. Three things are different.

bk is a backend: bk.xp is NumPy on a CPU and CuPy on a GPU, so a layer that computes with bk.xp
runs on both. Results are not returned but written into arrays that were handed in: y, dx. And an
activation may be asked to overwrite: y may be x itself, dx may be dy. tmp is an array of the same
shape to compute in.

    y = 1 / (1 + e^−x) = ½ tanh(x / 2) + ½        (E6)
    dx = dy · y (1 − y)                           (E7)

The gradient is computed from the output, so that x is not needed any more. It is graded by
`gradcheck`, which looks at the layer in place, too.
""",
    hint="tanh(bk, x, y) of this package, and bk.xp.tanh(x, out=y), write into y, and so do y "
    "*= 0.5 and y[...] = …; `y = …` does not. If dx is dy, then dy is gone once dx is "
    "written.",
    labels=("E6", "E7"),
    imports="from scratchvae.backend import Array, Backend\n"
    "from scratchvae.layers.activations import Elementwise, tanh\n"
    "from scratchvae.memory import Views",
    code=(
        Whole("layers.activations", "sigmoid"),
        Class("layers.activations", "Sigmoid", ("grad_input",)),
    ),
)

LOG_MEAN_EXP = Exercise(
    name="log_mean_exp",
    title="The logarithm of a mean of exponentials",
    text="""
Estimates of log p(x) are log 1/K Σ_k e^a_k with a_k around −100 (or −100,000): e^a underflows to
zero, and the logarithm is −∞. Take the largest a, M, out of the sum:

    log 1/K Σ_k e^a_k = M + log Σ_k e^(a_k − M) − log K        (E59)

The largest term is then 1. Here samples arrive in blocks of S, for n rows at once, because K of
them would not fit into memory. So M is the largest so far, and when a larger one comes, what has
been summed until then is rescaled. An a may be −∞ (a weight of zero); all of them may be.

`squares`, the sum of e^2(a_k − M), is for the effective sample size, and not graded.
""",
    hint="If the sum so far was taken relative to M and the largest is now M', then it is too "
    "large or too small by e^(M − M'). −∞ − (−∞) is NaN: take 0 for M where it is −∞.",
    labels=("E59",),
    imports="import math\n\nimport numpy as np\nfrom numpy.typing import NDArray\n\n"
    "Float64 = NDArray[np.float64]",
    code=(
        Class(
            "evaluation.nll", "LogMeanExp", ("add", "value"),
            left_out=("with_block", "effective_samples", "standard_error"),
        ),
    ),
)  # fmt: skip

IWAE = Exercise(
    name="iwae",
    title="The importance-weighted bound and its weights",
    text="""
With K samples, each with its cost c_k = −log p(x, z_k) + log q(z_k|x), a tighter bound than the
mean cost is

    bound = −log 1/K Σ_k e^−c_k,    weights_k = e^−c_k / Σ_l e^−c_l        (E50)

and the weights are its derivatives: the cheaper a sample, the larger its weight. Costs are some
hundred nats, so subtract the smallest, `shift`, before the exponential.

cost is (B, K). Write into bound (B,), weights (B, K) and shift (B, 1).
""",
    hint="xp.min(cost.real, axis=1, keepdims=True) is the shift. Exponentials may lie in "
    "weights first, be summed, and then be divided by the sum.",
    labels=("E50",),
    imports="import math\n\nfrom scratchvae.backend import Array, Backend",
    code=(Whole("latent.importance_weighted", "importance_bound"),),
)

STICKING_THE_LANDING = Exercise(
    name="sticking_the_landing",
    title="Sticking the landing",
    text="""
The encoder's parameters act on log q(z|x) − log p(z) along two ways: they move z = μ + σ ε, and
they stand in q. The second has the mean zero and may be left out; then the gradient has no noise
left once q is the true posterior. So hold μ and σ inside q, and differentiate with respect to z
alone:

    ∂/∂z [ log q(z) − log p(z) ] = ?     with log q(z) = −(z − μ)² / 2σ² + …,  (z − μ) / σ = ε

    dz += weight · that                          (E52)

z, eps, dz and tmp are (B, K, Z): K samples per image; std is (B, Z), the same for all samples of
an image. weight is a number or (B, K, 1).
""",
    hint="−log p(z) = z²/2 + …, whose derivative is z. That of −(z − μ)² / 2σ² with respect to"
    " z is −(z − μ) / σ²; write (z − μ) with ε. std[:, None, :] stretches over the "
    "samples.",
    labels=("E52",),
    imports="from scratchvae.backend import Array, Backend, Weight",
    code=(Whole("latent.gaussian", "path_grad"),),
)

GIVEN_LOG_P = '''def negative_log_p(head: Float64, eps: NDArray, nll: NDArray) -> Float64:
    """−log p(x) of each image in nats, by importance sampling  (E59): (n,). Given."""
    mean = LogMeanExp(len(head))
    mean.add(log_weights(head, eps, nll))
    return -mean.value()'''

LOG_P = Exercise(
    name="log_p",
    title="−log p(x) by importance sampling",
    text="""
How probable does the model find an image? p(x) is an integral over z of p(x|z) p(z). Draw z from
the encoder's q instead of the prior, where p(x|z) is not practically zero, and weight each draw
by how much more often the prior would have produced it:

    p(x) ≈ 1/K Σ_k w_k,   z_k = μ + σ ε_k
    log w_k = log p(x|z_k) + log p(z_k) − log q(z_k|x)         (E59)

The weights are yours to write, in plain NumPy if you like: head = [μ | log σ²] (n, 2Z), noise eps
(n, S, Z), nll = −log p(x|z_k) (n, S) -> (n, S). The rest is given. It is graded on a model whose
p(x) is known: with the exact posterior for q, every single w_k is p(x).
""",
    hint="Both densities are normal, and ½ log 2π cancels, once for each unit. At z = μ + σ ε "
    "the square (z − μ)²/σ² is ε². Units are summed.",
    labels=("E59", "E45"),
    imports="import numpy as np\nfrom numpy.typing import NDArray\n\n"
    "from scratchvae.evaluation.nll import HOST, LogMeanExp, reparameterized\n"
    "from scratchvae.latent.gaussian import log_ratio\n\nFloat64 = NDArray[np.float64]",
    code=(Whole("evaluation.nll", "log_weights"), Given(GIVEN_LOG_P)),
)

GIVEN_NORMS = '''def _pair(a: NDArray, b: NDArray) -> float:
    """⟨a, b⟩ = Re Σ conj(a) b over all elements. Given."""
    return float(np.real(np.vdot(a, b)))


def _norm(a: NDArray) -> float:
    """‖a‖ = √⟨a, a⟩. Given."""
    return float(np.sqrt(_pair(a, a)))'''

DOT_TEST = Exercise(
    name="dot_test",
    title="The dot test",
    text="""
How do you know that a backward pass is right, without a derivative? A linear map A and its
adjoint Aᵀ (in a layer: forward without bias, and the gradient of the input) satisfy, for any v
and w,

    ⟨w, A v⟩ = ⟨Aᵀ w, v⟩                          (E32)

Two numbers from two independent computations: if they agree for random v and w, the adjoint is
right. They agree up to rounding, which grows with the numbers; so measure their difference
relative to the larger of ‖w‖ ‖A v‖ and ‖Aᵀ w‖ ‖v‖. Where all is zero, the error is 0, not NaN.
""",
    hint="The error is a number, never negative, and the same when v is multiplied by a thousand.",
    labels=("E32",),
    imports="import numpy as np\nfrom numpy.typing import NDArray",
    code=(Given(GIVEN_NORMS), Whole("gradcheck.linear", "pairing_error")),
)

EXERCISES: tuple[Exercise, ...] = (
    DENSE,
    DENSE_GRADIENTS,
    ACTIVATIONS,
    BERNOULLI,
    REPARAMETERIZATION,
    KL,
    BACKWARD,
    ADAM,
    TRAINING,
    SIGMOID_LAYER,
    LOG_MEAN_EXP,
    IWAE,
    STICKING_THE_LANDING,
    LOG_P,
    DOT_TEST,
)


def files() -> dict[str, Exercise]:
    """Every exercise by the name of its file, in order."""
    return {file_name(i, each.name): each for i, each in enumerate(EXERCISES, start=1)}


def exercise_named(name: str) -> tuple[str, Exercise]:
    """The file's name and the exercise called ``name``, "kl", "6" or "06_kl.py".

    ``ConfigError`` if there is none.
    """
    known = files()
    for file, exercise in known.items():
        number, stem = file[:2], file.removesuffix(".py")
        if name in (exercise.name, number, number.lstrip("0"), stem, file):
            return file, exercise
    names = [exercise.name for exercise in EXERCISES]
    raise ConfigError(
        f"there is no exercise {name!r}.{did_you_mean(name, names)} There are: {', '.join(names)}"
    )
