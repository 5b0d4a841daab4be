"""The equations that a study's model computes, as the docstrings of its code state them."""

import inspect
import linecache
import re
import textwrap
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from scratchvae.config import TrainConfig
from scratchvae.evaluation.interpolation import linear, spherical
from scratchvae.latent import LatentBuffers, reparameterize
from scratchvae.models.posterior import BoundPosterior
from scratchvae.training.nonfinite.trace import LABELS, labels_of
from scratchvae.types import Function

PARTS = ("encoder", "decoder")
FORMULA = re.compile("[=←≈]")
ROLE = re.compile(r":\w+:`~?([^`]+)`")  # of a docstring, :meth:`pixel_nll`


class Statement(NamedTuple):
    """A docstring that carries labels: ("E4",), "Dense.grad_input", "dx = dy Wᵀ …"."""

    labels: tuple[str, ...]
    where: str
    text: str
    source: str  # of the method or function; "" for a class, which its methods make up


def equations_of(config: TrainConfig, pixels: int, completes: bool = False) -> list[Statement]:
    """What layers, latent node, likelihood, estimator, optimizer and evaluation compute.

    ``completes``: whether half-seen images are completed, too.

    Read from the docstrings of the very methods that run, so that a page cannot disagree with
    the program; each once, in the order of the labels.
    """
    vae = config.make_vae(pixels)
    layers = [layer for part in PARTS for layer in getattr(vae, part).layers]
    parts = (*layers, vae.likelihood, vae.estimator, config.make_optimizer())
    owners = [*dict.fromkeys(map(type, parts)), LatentBuffers]
    owners += [BoundPosterior] if completes else []
    statements = [s for owner in owners for s in _statements(owner)]
    for function in (reparameterize, linear, spherical):
        statements += _statement(function, function.__name__)
    found = {s.where: s for s in statements}
    return sorted(found.values(), key=lambda s: [int(label[1:]) for label in s.labels])


def _statements(owner: type) -> Iterator[Statement]:
    """The labelled docstrings of a class, of its methods, and of the functions these call."""
    for name, member in inspect.getmembers(owner):
        if isinstance(member, FunctionType | MethodType) and not name.startswith("__"):
            yield from _statement(member, f"{owner.__name__}.{name}")
            for function in called(member):
                yield from _statement(function, function.__name__)
    yield from _statement(owner, owner.__name__)


def _statement(thing: object, where: str) -> Iterator[Statement]:
    labels = labels_of(thing)
    if labels:
        paragraphs = (inspect.getdoc(thing) or "").split("\n\n")
        first = next(k for k, p in enumerate(paragraphs) if LABELS.search(p))
        stated = paragraphs[first : first + 1]
        if not FORMULA.search(stated[0]):  # it only names what the next one states
            stated += [p for p in paragraphs[first + 1 : first + 2] if FORMULA.search(p)]
        words = " ".join(LABELS.sub("", " ".join(stated)).replace("``", "").split())
        words = ROLE.sub(r"\1", words)
        yield Statement(labels, where, re.sub(r" ([.,:;])", r"\1", words), source_text(thing))


def source_text(thing: object) -> str:
    """The code of a function or method; "" for anything else, and where there is only bytecode."""
    if not isinstance(thing, FunctionType | MethodType):
        return ""
    code = thing.__code__
    lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]
    if not lines:
        return ""
    count = max(line for _, _, line in code.co_lines() if line) - code.co_firstlineno + 1
    indent = _indent(lines[0])
    while count < len(lines) and lines[count].strip() and _indent(lines[count]) > indent:
        count += 1  # what closes the last statement
    return textwrap.dedent("".join(lines[:count]))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def called(function: Function) -> Iterator[Any]:
    """The functions of this package that the code of ``function`` names."""
    for name in function.__code__.co_names:
        other = function.__globals__.get(name)
        if isinstance(other, FunctionType) and other.__module__.startswith("scratchvae."):
            yield other
