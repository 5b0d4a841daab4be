"""The checkers that are compared: each judges a case with the settings it has from its makers."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gradients.case import Case

Judge = Callable[[Case], str]
RIGHT, WRONG, NOT_CHECKED = "right", "wrong", "not checked"
MANY = 20_000  # elements beyond which a whole Jacobian takes hours


def contenders() -> dict[str, Judge]:
    """Every checker whose package is installed, by name."""
    found: dict[str, Judge] = {}
    try:
        import torch  # noqa: F401

        found["torch gradcheck"] = lambda case: _torch(case, fast=False)
        found["torch gradcheck, fast"] = lambda case: _torch(case, fast=True)
    except ImportError:
        pass
    try:
        import jax  # noqa: F401

        found["jax check_grads"] = _jax
    except ImportError:
        pass
    found["Chainer's formula"] = _chainer
    found["scipy check_grad"] = _scipy
    found["scratchvae"] = _ours
    return found


def judge(checker: Judge, case: Case) -> str:
    """The verdict; an error of the checker's own is none."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return checker(case)
        except AssertionError:
            return WRONG
        except Exception as error:
            return WRONG if _blames(error) else NOT_CHECKED


def _blames(error: Exception) -> bool:
    """Whether an error says that the gradient is wrong: its shape, its dtype, its number."""
    said = str(error).lower()
    return "gradient" in said and any(w in said for w in ("shape", "invalid", "wrong"))


def _ours(case: Case) -> str:
    from scratchvae.gradcheck import check_gradient

    return str(check_gradient(case.f, *case.arguments, vjp=case.vjp).outcome)


def _floating(arguments: Sequence[Any]) -> list[int]:
    return [i for i, a in enumerate(arguments) if np.asarray(a).dtype.kind == "f"]


def _gradients(case: Case, arguments: Sequence[Any], dy: Any) -> list[NDArray]:
    """Those of the floating-point arguments, in their order."""
    found = case.vjp(*arguments, dy)
    found = list(found) if isinstance(found, tuple) else [found]
    return [np.asarray(found[i], dtype=float) for i in _floating(arguments)]


def _torch(case: Case, fast: bool) -> str:
    import torch
    from torch.autograd.gradcheck import GradcheckError

    if not fast and sum(np.size(a) for a in case.arguments) > MANY:
        return NOT_CHECKED
    at = _floating(case.arguments)

    def host(tensors: Sequence[Any]) -> list[Any]:
        arguments = list(case.arguments)
        for i, t in zip(at, tensors, strict=True):
            arguments[i] = t.detach().numpy()
        return arguments

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            ctx.save_for_backward(*tensors)
            return torch.as_tensor(np.asarray(case.f(*host(tensors))))

        @staticmethod
        def backward(ctx: Any, *dy: Any) -> Any:
            arguments = host(ctx.saved_tensors)
            w = dy[0].numpy()
            found = _gradients(case, arguments, w if w.ndim else float(w))
            return tuple(torch.as_tensor(g) for g in found)

    inputs = [
        torch.tensor(np.asarray(case.arguments[i], dtype=float), requires_grad=True) for i in at
    ]
    try:
        torch.autograd.gradcheck(lambda *t: Wrapped.apply(*t), inputs, fast_mode=fast)
    except GradcheckError:
        return WRONG
    return RIGHT


def _jax(case: Case) -> str:
    import jax
    from jax import test_util

    jax.config.update("jax_enable_x64", True)
    at = _floating(case.arguments)
    y = np.asarray(case.f(*case.arguments))
    shape = jax.ShapeDtypeStruct(y.shape, y.dtype)
    inputs = [np.asarray(case.arguments[i], dtype=float) for i in at]
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs]

    def filled(given: Sequence[Any]) -> list[Any]:
        arguments = list(case.arguments)
        for i, x in zip(at, given, strict=True):
            arguments[i] = np.array(x)
        return arguments

    @jax.custom_vjp
    def f(*given: Any) -> Any:
        return jax.pure_callback(lambda *x: np.asarray(case.f(*filled(x)), y.dtype), shape, *given)

    def backward(given: Any, dy: Any) -> Any:
        def on_host(dy: Any, *x: Any) -> Any:
            w = np.array(dy)
            return tuple(_gradients(case, filled(x), w if w.ndim else float(w)))

        return jax.pure_callback(on_host, tuple(shapes), dy, *given)

    f.defvjp(lambda *given: (f(*given), given), backward)
    test_util.check_grads(f, tuple(map(jax.numpy.asarray, inputs)), order=1, modes=("rev",))
    return RIGHT


def _chainer(case: Case) -> str:
    """``chainer.gradient_check.check_backward``: one random direction, eps 1e-3, atol 1e-5."""
    rng = np.random.default_rng(0)
    at = _floating(case.arguments)
    y = np.asarray(case.f(*case.arguments))
    w = rng.uniform(-1, 1, y.shape) if y.ndim else 1.0
    v = [rng.normal(size=np.shape(case.arguments[i])) for i in at]
    length = np.sqrt(sum(float(np.sum(u * u)) for u in v))

    def value(eps: float) -> float:
        arguments = list(case.arguments)
        for i, u in zip(at, v, strict=True):
            arguments[i] = arguments[i] + eps * u / length
        return float(np.sum(w * np.asarray(case.f(*arguments), dtype=float)))

    numeric = (value(1e-3) - value(-1e-3)) / 2e-3
    copies = [np.array(a) for a in case.arguments]
    found = _gradients(case, copies, np.array(w) if y.ndim else 1.0)
    given = sum(float(np.sum(g * u)) for g, u in zip(found, v, strict=True)) / length
    return RIGHT if abs(given - numeric) <= 1e-5 + 1e-4 * abs(numeric) else WRONG


def _scipy(case: Case) -> str:
    """The documentation compares by eye; 1e-6 is what its examples stay below."""
    from scipy.optimize import check_grad

    at = _floating(case.arguments)
    shapes = [np.shape(case.arguments[i]) for i in at]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])
    if ends[-1] > MANY:
        return NOT_CHECKED
    y = np.asarray(case.f(*case.arguments))
    w = np.random.default_rng(0).uniform(-1, 1, y.shape) if y.ndim else 1.0

    def filled(flat: NDArray) -> list[Any]:
        arguments = list(case.arguments)
        for i, part, shape in zip(at, np.split(flat, ends[:-1]), shapes, strict=True):
            arguments[i] = part.reshape(shape).copy()
        return arguments

    def f(flat: NDArray) -> float:
        return float(np.sum(w * np.asarray(case.f(*filled(flat)), dtype=float)))

    def g(flat: NDArray) -> NDArray:
        found = _gradients(case, filled(flat), np.array(w) if y.ndim else 1.0)
        return np.concatenate([a.reshape(-1) for a in found])

    flat = np.concatenate([np.ravel(case.arguments[i]) for i in at])
    error = check_grad(f, g, flat)
    return RIGHT if error <= 1e-6 else WRONG
