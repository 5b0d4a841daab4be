"""The update rules, each as plain equations on flat buffers.

A rule declares its buffers (``moments``), keeps its settings as attributes and states its update
as code: ``update`` works in place on one stretch of the flat buffers, with the operators and
functions of ``bk.xp`` alone. A rule of your own is a class like these, in a file of your own. What
is marked ``fusible`` a backend may compute in another, faster form of the same equation; a test
holds the two equal.

The moments are kept without the factors (1 − β) of an average, so that a gradient is added as it
is. A factor that a formula needs stands where the moment is read.
"""

import math
from collections.abc import Sequence

from scratchvae.backend import Array, Backend, Number, flush_threshold, fusible, machine_epsilon
from scratchvae.optim.base import Optimizer, require
from scratchvae.optim.schedules import Rate


class Adam(Optimizer):
    """Adam: a step of the size of the learning rate, along an average of the gradients  (E24).

    m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  p ← p − lr m̂ / (√v̂ + ε)

    with m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ): algorithm 1 of the paper, with ε outside the
    root as in PyTorch and JAX.

    Parameters
    ----------
    lr : float, str or Schedule, default=1e-3
        The learning rate, see :mod:`scratchvae.optim.schedules`.
    beta1, beta2 : float, default=0.9 and 0.999
        How much of the averages of g and of g² a step keeps, in [0, 1).
    eps : float, default=1e-8
        ε > 0. A second moment is flushed to zero only where it is invisible beside ε, see
        :meth:`Optimizer.flush`; with an ε far below 1e-8, float32 may compute with subnormal
        moments, which is slow.
    clip : float, default=None
        The largest norm of a gradient; None or 0 for any.
    v0 : float, default=0.0
        What v starts from. With a bias correction, as in the paper, it starts from 0.
    bias_correction : bool, default=True
        False takes m and v for m̂ and v̂.
    eps_hat : bool, default=False
        True: ε is the paper's ε̂, that of the form in which TensorFlow and Theano state Adam,
        p ← p − lr √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε̂). There it stands beside √v, and so weighs
        1 / √(1 − β₂ᵗ) times as much as beside √v̂: 32 times at the first step.

    Attributes
    ----------
    moments : ("m", "v")
        The buffers hold m / (1 − β₁) and v / (1 − β₂).

    Raises
    ------
    ConfigError
        For a setting out of its range.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980.
    """

    name = "adam"
    moments = ("m", "v")

    def __init__(
        self,
        lr: Rate = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip: float | None = None,
        *,
        v0: float = 0.0,
        bias_correction: bool = True,
        eps_hat: bool = False,
    ) -> None:
        super().__init__(lr, clip)
        betas = 0 <= beta1 < 1 and 0 <= beta2 < 1
        require(betas, f"Adam's betas lie in [0, 1), not {beta1} and {beta2}")
        require(math.isfinite(eps) and eps > 0, f"Adam's eps must be positive, not {eps}")
        require(math.isfinite(v0) and v0 >= 0, f"Adam's v0 must not be negative: {v0}")
        require(bias_correction or not eps_hat, "Adam's eps_hat needs the bias correction")
        self.beta1, self.beta2, self.eps = float(beta1), float(beta2), float(eps)
        self.bias_correction, self.v0 = bool(bias_correction), float(v0)
        self.eps_hat = bool(eps_hat)
        self.starts = {"v": self.v0 / (1 - self.beta2)}

    @fusible("adam")
    def update(
        self, bk: Backend, p: Array, g: Array, moments: Sequence[Array], lr: float, t: int
    ) -> None:
        m, v = moments
        m *= self.beta1
        m += g
        v *= self.beta2
        v += g * g
        self.flush(bk, moments, t)
        seen1, seen2 = self.seen(t)
        m_hat = (1 - self.beta1) / seen1 * m
        v_hat = (1 - self.beta2) / seen2 * v
        p -= lr * m_hat / (bk.xp.sqrt(v_hat) + self.eps_beside_v_hat(t))

    def seen(self, t: Number) -> tuple[Number, Number]:
        """1 − β₁ᵗ and 1 − β₂ᵗ: the weight of the gradients in the averages of ``t`` steps."""
        return (1 - self.beta1**t, 1 - self.beta2**t) if self.bias_correction else (1.0, 1.0)

    def eps_beside_v_hat(self, t: Number) -> Number:
        """ε as it stands beside √v̂: itself, or ε̂ / √(1 − β₂ᵗ)."""
        return self.eps / self.seen(t)[1] ** 0.5 if self.eps_hat else self.eps

    def flush_thresholds(self, bk: Backend) -> tuple[float, ...]:
        """m where its step is below an ulp of lr; v where √v̂ is below an ulp of ε."""
        invisible = machine_epsilon(bk.dtype) * self.eps
        limit = flush_threshold(bk.dtype)
        return min(limit, invisible), min(limit, invisible**2)


class RMSprop(Optimizer):
    """RMSprop: the gradient divided by the root of an average of its squares  (E41).

    r ← ρ r + (1 − ρ) g²;  p ← p − lr g / (√r + ε), or p ← p − lr g / √(r + ε)

    Without momentum and not centred; r starts at zero and is not corrected for it. The place of ε
    matters where gradients are small: at g = 1e-4, with the defaults, the first step is 3.15 lr
    with ε outside the root and 0.31 lr with ε inside.

    Parameters
    ----------
    lr : float, str or Schedule, default=1e-3
        The learning rate, see :mod:`scratchvae.optim.schedules`.
    rho : float, default=0.9
        ρ in [0, 1). The defaults of lr, ρ and ε are those of every Keras; PyTorch's are lr 1e-2,
        ρ 0.99 and ε 1e-8.
    eps : float, default=1e-7
        ε > 0.
    clip : float, default=None
        The largest norm of a gradient; None or 0 for any.
    eps_inside : bool, default=False
        False: √r + ε, as PyTorch, and Keras up to 2.10 (that of TensorFlow 2.10). True: √(r + ε),
        as Keras from 2.11 on, and Keras 3.

    Attributes
    ----------
    moments : ("r",)
        The buffer holds r / (1 − ρ).

    Raises
    ------
    ConfigError
        For a setting out of its range.

    References
    ----------
    Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5, Coursera, 2012.
    """

    name = "rmsprop"
    moments = ("r",)

    def __init__(
        self,
        lr: Rate = 1e-3,
        rho: float = 0.9,
        eps: float = 1e-7,
        clip: float | None = None,
        *,
        eps_inside: bool = False,
    ) -> None:
        super().__init__(lr, clip)
        require(0 <= rho < 1, f"RMSprop's rho lies in [0, 1), not {rho}")
        require(math.isfinite(eps) and eps > 0, f"RMSprop's eps must be positive, not {eps}")
        self.rho, self.eps, self.eps_inside = float(rho), float(eps), bool(eps_inside)

    @fusible("rmsprop")
    def update(
        self, bk: Backend, p: Array, g: Array, moments: Sequence[Array], lr: float, t: int
    ) -> None:
        (r,) = moments
        r *= self.rho
        r += g * g
        self.flush(bk, moments, t)
        average = (1 - self.rho) * r
        if self.eps_inside:
            p -= lr * g / bk.xp.sqrt(average + self.eps)
        else:
            p -= lr * g / (bk.xp.sqrt(average) + self.eps)

    def flush_thresholds(self, bk: Backend) -> tuple[float, ...]:
        """r where it, or its root, is below an ulp of the ε beside it."""
        invisible = machine_epsilon(bk.dtype) * self.eps
        return (min(flush_threshold(bk.dtype), invisible if self.eps_inside else invisible**2),)


class SGD(Optimizer):
    """Gradient descent, with momentum unless it is 0  (E42).

    v ← μ v + g;  p ← p − lr v, or p ← p − lr (g + μ v) in Nesterov's form

    The velocity is free of the learning rate, as in PyTorch: a schedule acts on all of it at
    once. Without momentum there is no velocity, and no buffer for one.

    Parameters
    ----------
    lr : float, str or Schedule, default=1e-2
        The learning rate, see :mod:`scratchvae.optim.schedules`.
    momentum : float, default=0.9
        μ in [0, 1). 0.9 is scikit-learn's default; PyTorch and Keras have 0.
    nesterov : bool, default=False
        Nesterov's form, which needs a momentum. scikit-learn's default is True.
    clip : float, default=None
        The largest norm of a gradient; None or 0 for any.

    Attributes
    ----------
    moments : ("v",), or () without momentum

    Raises
    ------
    ConfigError
        For a setting out of its range.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013.
    """

    name = "sgd"

    def __init__(
        self,
        lr: Rate = 1e-2,
        momentum: float = 0.9,
        nesterov: bool = False,
        clip: float | None = None,
    ) -> None:
        super().__init__(lr, clip)
        require(0 <= momentum < 1, f"the momentum lies in [0, 1), not {momentum}")
        require(momentum > 0 or not nesterov, "Nesterov's form needs a momentum above 0")
        self.momentum, self.nesterov = float(momentum), bool(nesterov)
        self.moments = ("v",) if momentum else ()

    @fusible("sgd")
    def update(
        self, bk: Backend, p: Array, g: Array, moments: Sequence[Array], lr: float, t: int
    ) -> None:
        if not self.momentum:
            p -= lr * g
            return
        (v,) = moments
        v *= self.momentum
        v += g
        self.flush(bk, moments, t)
        p -= lr * (g + self.momentum * v if self.nesterov else v)


class Adagrad(Optimizer):
    """Adagrad: the gradient divided by the root of the sum of all its squares  (E43).

    s ← s + g²;  p ← p − lr g / (√s + ε)

    PyTorch's form: ε outside the root, s started at zero. Keras starts s at 0.1.

    Parameters
    ----------
    lr : float, str or Schedule, default=1e-2
        The learning rate, see :mod:`scratchvae.optim.schedules`.
    eps : float, default=1e-10
        ε > 0.
    clip : float, default=None
        The largest norm of a gradient; None or 0 for any.

    Attributes
    ----------
    moments : ("s",)

    Raises
    ------
    ConfigError
        For a setting out of its range.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", JMLR 12, 2011.
    """

    name = "adagrad"
    moments = ("s",)

    def __init__(self, lr: Rate = 1e-2, eps: float = 1e-10, clip: float | None = None) -> None:
        super().__init__(lr, clip)
        require(math.isfinite(eps) and eps > 0, f"Adagrad's eps must be positive, not {eps}")
        self.eps = float(eps)

    @fusible("adagrad")
    def update(
        self, bk: Backend, p: Array, g: Array, moments: Sequence[Array], lr: float, t: int
    ) -> None:
        (s,) = moments
        s += g * g
        p -= lr * g / (bk.xp.sqrt(s) + self.eps)
