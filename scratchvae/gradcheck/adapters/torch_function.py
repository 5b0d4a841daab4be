"""A ``torch.autograd.Function`` with its own forward and backward."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters import Adapted, names_of
from scratchvae.types import Values

Tensors = Any  # a tensor of PyTorch, which need not be installed, or a tuple of them


def torch_function(function: Any) -> Adapted:
    """A subclass of ``torch.autograd.Function``; NumPy arrays become tensors on the CPU.

    Floating-point arrays are float64 tensors that require a gradient, integer and boolean ones
    tensors without; numbers and the rest are handed through. The tensors share the arrays' memory,
    so that what backward overwrites is noticed. Raises ``ConfigError`` for anything else.
    """
    torch = sys.modules.get("torch")  # a Function exists only if it has been imported
    if torch is None or not _is_function(torch, function):
        raise ConfigError(
            f"torch_function takes a subclass of torch.autograd.Function, not {function!r}"
        )

    def tensor(a: object, wanted: bool = False) -> object:
        if not isinstance(a, np.ndarray | np.generic):
            return a
        bare = np.asarray(a).view(np.ndarray)
        found = torch.from_numpy(bare) if bare.ndim else torch.from_numpy(bare.reshape(1))[0]
        return found.requires_grad_() if wanted and bare.dtype.kind == "f" else found

    def host(value: object) -> object:
        if isinstance(value, tuple | list):
            return tuple(host(v) for v in value)
        if not isinstance(value, torch.Tensor):
            return value
        return value.detach().resolve_conj().numpy()

    def f(*arguments: object) -> object:
        with torch.no_grad():
            return host(function.apply(*(tensor(a) for a in arguments)))

    def vjp(*arguments_and_dy: object) -> object:
        *arguments, dy = arguments_and_dy
        inputs = [tensor(a, wanted=True) for a in arguments]
        wanted = [t for t in inputs if isinstance(t, torch.Tensor) and t.requires_grad]
        y = function.apply(*inputs)
        outputs, cotangents = _moving(torch, y, dy, tensor)
        found = torch.autograd.grad(outputs, wanted, cotangents, allow_unused=True)
        given = iter(found)
        return tuple(
            host(next(given)) if isinstance(t, torch.Tensor) and t.requires_grad else None
            for t in inputs
        )

    return Adapted(f, vjp, function.__name__, names=names_of(function.forward, leave_out=1))


def _is_function(torch: ModuleType, function: object) -> bool:
    return isinstance(function, type) and issubclass(function, torch.autograd.Function)


def _moving(
    torch: ModuleType, y: Tensors, dy: Values, tensor: Callable[[object], Tensors]
) -> tuple[list[Tensors], list[Tensors]]:
    """The outputs that have a gradient, each with its cotangent."""
    if isinstance(y, torch.Tensor):
        return [y], [tensor(np.asarray(dy))]
    pairs = [(a, tensor(np.asarray(w))) for a, w in zip(y, dy, strict=True)]
    kept = [(a, w) for a, w in pairs if isinstance(a, torch.Tensor) and a.requires_grad]
    return [a for a, _ in kept], [w for _, w in kept]
