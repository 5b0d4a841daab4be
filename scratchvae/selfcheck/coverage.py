"""What has no entry: anything new that can be trained must be added to the registry."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import scratchvae
from scratchvae import latent
from scratchvae.layers import Layer, Sequential
from scratchvae.likelihoods import Likelihood
from scratchvae.models import VAE
from scratchvae.optim import OPTIMIZERS
from scratchvae.selfcheck.entries import ENTRIES
from scratchvae.selfcheck.optimizers import OPTIMIZER_ENTRIES
from scratchvae.types import Function

PARTS = ("layers", "latent", "likelihoods", "optim", "models")


def uncovered() -> list[str]:
    """The names of operations of this package without an entry in the registry."""
    covered = {id(thing) for entry in ENTRIES for thing in entry.covers}
    covered |= {id(entry.rule) for entry in OPTIMIZER_ENTRIES}
    classes = [thing for entry in ENTRIES for thing in entry.covers if isinstance(thing, type)]
    return [
        name
        for name, thing in operations()
        if id(thing) not in covered and not _is_all_of(thing, classes)
    ]


def _is_all_of(base: object, classes: list[type]) -> bool:
    """Whether a class does nothing but what a subclass with an entry inherits from it."""
    methods = [n for n in ("forward", "nll", "value") if hasattr(base, n)]
    return bool(methods) and any(
        issubclass(cls, base) and all(getattr(cls, n) is getattr(base, n) for n in methods)
        for cls in classes
        if isinstance(base, type)
    )


def operations() -> Iterator[tuple[str, Function]]:
    """Every layer, likelihood, estimator, function of these, optimizer and model."""
    for part in PARTS:
        list(_modules(part))  # so that every subclass exists
    bases = ((Layer, "forward"), (Likelihood, "describe"), (latent.Estimator, "value"))
    for base, must_have in bases:
        for cls in sorted(_subclasses(base), key=lambda c: c.__qualname__):
            ours = cls.__module__.startswith(f"{scratchvae.__name__}.")
            if ours and getattr(cls, must_have) is not getattr(base, must_have):
                yield cls.__qualname__, cls
    for part in ("layers", "latent", "likelihoods"):
        for module in _modules(part):
            for name, thing in vars(module).items():
                if inspect.isfunction(thing) and _computes(thing, module):
                    yield name, thing
    yield from OPTIMIZERS.items()
    yield from (("Sequential", Sequential), ("VAE", VAE))


def _modules(part: str) -> Iterator[ModuleType]:
    package = importlib.import_module(f"scratchvae.{part}")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def _computes(function: Function, module: ModuleType) -> bool:
    """Whether a function of this module works on buffers: then a backend comes first."""
    if function.__module__ != module.__name__:
        return False
    return next(iter(inspect.signature(function).parameters), None) == "bk"


def _subclasses(base: type) -> set[type]:
    direct: set[type] = set(base.__subclasses__())
    return direct.union(*map(_subclasses, direct))
