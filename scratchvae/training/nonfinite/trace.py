"""A step run plainly, every array looked at as soon as it is computed.

One worker, the very layers, likelihood and estimator that train: each is wrapped, and shows what
it has written before anything else runs. So an infinity that the next layer hides (a ReLU makes 0
of −∞, in place) is seen, too. What is kept of an array is its name, the equation it was computed
by, and its largest magnitude. The equation's label is read from the docstring of the method that
was called: it can't say anything else than the code does.
"""

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Array, Backend
from scratchvae.latent import AnalyticKL, kl_per_unit, reparameterize, standard_deviation
from scratchvae.latent.buffers import LatentBuffers
from scratchvae.latent.estimators import Estimator, sampled_kl
from scratchvae.layers.sequential import BoundLayer, BoundSequential
from scratchvae.memory import FlatBuffer
from scratchvae.models import BoundVAE
from scratchvae.optim.base import BoundOptimizer

LABELS = re.compile(r"\((E\d+(?:, E\d+)*)\)")  # (E12) or (E2, E16), as docs/equations.md reads them
BETWEEN = "between encoder and decoder"


class Sight(NamedTuple):
    """What was seen of one array, right after it had been computed."""

    name: str  # "the output of encoder.0 (Dense(8))"
    place: str  # "layer 1 of 3 of the encoder"
    equations: tuple[str, ...]  # "E3"; nothing for what no equation computes
    shape: tuple[int, ...]
    largest: float  # the largest magnitude of the finite entries; 0 where there are none
    bad: int  # how many entries are infinite or NaN
    first: tuple[int, ...]  # where the first of them is
    value: float  # what it is: inf, -inf or nan

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(np.prod(self.shape))


def labels_of(function: Any) -> tuple[str, ...]:
    """The labels in the docstring of a function, method or class, in their order."""
    groups = LABELS.findall(function.__doc__ or "")
    return tuple(dict.fromkeys(label for group in groups for label in group.split(", ")))


class Watch:
    """The sights of a step in the order of computation."""

    def __init__(self, bk: Backend) -> None:
        self.bk = bk
        self.sights: list[Sight] = []

    @property
    def found(self) -> Sight | None:
        """The first array that holds an infinity or NaN."""
        return next((s for s in self.sights if s.bad), None)

    @property
    def before(self) -> list[Sight]:
        """What was computed before that one; everything, where all is finite."""
        found = self.found
        return self.sights if found is None else self.sights[: self.sights.index(found)]

    def see(self, name: str, a: Array, place: str, equations: tuple[str, ...] = ()) -> None:
        """Look at an array that has just been computed."""
        host = self.bk.to_host(a)
        if host.size:
            self.sights.append(_sight(name, host, place, equations))

    # ---- what a step is made of --------------------------------------------------------------

    def inputs(self, bound: BoundVAE, params: FlatBuffer) -> None:
        """What a step begins with: parameters, images, noise."""
        for name, a in params.views.items():
            self.see(name, a, "a parameter, as the step began")
        self.see("the images", bound.x, "the input")
        self.see("the noise eps", bound.eps, "the input")

    def loss(self, bound: BoundVAE, beta: float) -> None:
        """Run :meth:`BoundVAE.loss`, and look."""
        with self.bk.ignore_float_errors():
            self._watched(bound).loss(beta)

    def gradient(self, bound: BoundVAE, weight: float, beta: float) -> None:
        """Run :meth:`BoundVAE.loss_and_gradient`, and look."""
        with self.bk.ignore_float_errors():
            self._watched(bound).loss_and_gradient(weight, beta)

    def update(
        self, optimizer: BoundOptimizer, params: FlatBuffer, grads: FlatBuffer, t: int
    ) -> None:
        """Update number ``t`` from the gradient in its buffer; look at what it leaves.

        A moment that was infinite before is not news, and left out.
        """
        rule, parts = optimizer.rule, range(len(optimizer.parts))
        moments = {
            f"{name}, the optimizer's {moment}": a
            for moment, buffer in optimizer.state.items()
            for name, a in buffer.views.items()
        }
        sound = [name for name, a in moments.items() if np.isfinite(self.bk.to_host(a)).all()]
        with self.bk.ignore_float_errors():
            if optimizer.needs_barrier:
                for part in parts:
                    optimizer.measure_norm(part)
            for part in parts:
                optimizer.step(t, part)
        place, equations = f"the update by {rule.name}", labels_of(type(rule))
        if rule.clip is not None:
            for name, a in grads.views.items():
                self.see(f"the clipped gradient of {name}", a, place, labels_of(optimizer.clip))
        for name in sound:
            self.see(f"{name}, after the update", moments[name], place, equations)
        for name, a in params.views.items():
            self.see(f"{name} after the update", a, place, equations)

    # ---- wrapping ----------------------------------------------------------------------------

    def _watched(self, bound: BoundVAE) -> Any:
        """The same model on the same buffers, whose parts show what they write."""
        other: Any = copy.copy(bound)
        other.encoder = self._layers(bound.encoder, "encoder")
        other.decoder = self._layers(bound.decoder, "decoder")
        other.encode = self._after(other.encode, lambda *_: _latent(bound))
        likelihood, estimator = bound.likelihood, bound.estimator
        other.likelihood = _Showing(likelihood, self, {
            "nll": lambda bk, p, logits, x, nll, work: [_nll(likelihood, nll)],
            "nll_and_grad": lambda *a: _nll_and_grad(
                likelihood, estimator.uses_importance_weights, *a
            ),
        })  # fmt: skip
        other.estimator = _Showing(estimator, self, {
            "value": lambda n, beta: _value(estimator, n),
            "sample_weights": lambda n, weight: [
                ("the gradient by the samples' costs", n.work.dcost, BETWEEN,
                 labels_of(estimator.sample_weights))
            ],
            "grad_head": lambda n, weight, beta: [
                ("the gradient by mu and logvar", n.dhead, BETWEEN, labels_of(estimator.grad_head))
            ],
        })  # fmt: skip
        return other

    def _layers(self, part: BoundSequential, name: str) -> BoundSequential:
        other = copy.copy(part)
        count = len(part.layers)
        other.layers = tuple(
            s._replace(layer=self._layer(s, f"layer {i} of {count} of the {name}"))
            for i, s in enumerate(part.layers, start=1)
        )
        other.reversed_layers = other.layers[::-1]
        return other

    def _layer(self, slot: BoundLayer, place: str) -> Any:
        layer = slot.layer
        what = f"{slot.label} ({layer!r})"
        if layer.is_view:  # nothing is computed
            return layer
        return _Showing(layer, self, {
            "forward": lambda bk, p, x, y: [
                (f"the output of {what}", y, place, labels_of(layer.forward))
            ],
            "grad_input": lambda bk, p, x, y, dy, dx, tmp: [
                (f"the gradient at the input of {what}", dx, place, labels_of(layer.grad_input))
            ],
            "grad_params": lambda bk, x, dy, g: [
                (f"the gradient of {slot.label}.{name}", a, place, labels_of(layer.grad_params))
                for name, a in vars(g).items()
            ],
        })  # fmt: skip

    def _after(self, method: Callable[..., Any], shows: "Shows") -> Callable[..., Any]:
        def shown(*args: Any) -> Any:
            result = method(*args)
            for sight in shows(*args):
                self.see(*sight)
            return result

        return shown


Shown = tuple[str, Array, str, tuple[str, ...]]  # the arguments of Watch.see
Shows = Callable[..., Iterable[Shown]]  # from the arguments of a method


class _Showing:
    """An object some of whose methods, when they have run, show what they have written."""

    def __init__(self, real: Any, watch: Watch, shows: Mapping[str, Shows]) -> None:
        self._real = real
        for name, of in shows.items():
            setattr(self, name, watch._after(getattr(real, name), of))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _latent(bound: BoundVAE) -> list[Shown]:
    return [
        ("sigma", bound.std, BETWEEN, labels_of(standard_deviation)),
        ("z", bound.z, BETWEEN, labels_of(reparameterize)),
    ]


def _nll(likelihood: Any, nll: Array) -> Shown:
    labels = labels_of(likelihood.nll) or labels_of(likelihood.pixel_nll)
    return "the reconstruction term", nll, "the likelihood", labels


def _nll_and_grad(
    likelihood: Any, known: bool, bk: Backend, p: Any, logits: Array, x: Array, weight: Any,
    nll: Array, dlogits: Array, g: Any, work: Any,
) -> Iterable[Shown]:  # fmt: skip
    place = "the likelihood"
    if not known:  # else the loss, which came first, has computed it already
        yield _nll(likelihood, nll)
    yield "the gradient by the logits", dlogits, place, labels_of(likelihood.nll_and_grad)[:1]
    for name, a in vars(g).items():
        labels = labels_of(likelihood.variance_grad)
        yield f"the gradient of likelihood.{name}", a, place, labels


def computes_kl(estimator: Estimator) -> Callable[..., None]:
    """The function that an estimator writes its kl (B, Z) by."""
    return kl_per_unit if isinstance(estimator, AnalyticKL) else sampled_kl


def _value(estimator: Estimator, n: LatentBuffers) -> Iterable[Shown]:
    yield "the KL divergence", n.kl, BETWEEN, labels_of(computes_kl(estimator))
    labels = labels_of(estimator.value)
    for name in ("cost", "weights"):
        if hasattr(n.work, name):
            yield f"the {name} of the samples", getattr(n.work, name), BETWEEN, labels
    yield "the objective", n.objective, BETWEEN, labels
    total = n.bk.xp.sum(n.objective, axis=0, keepdims=True)  # as the loop adds up a batch
    yield "the sum of the losses", total, BETWEEN, ()


def _sight(name: str, a: NDArray, place: str, equations: tuple[str, ...]) -> Sight:
    with np.errstate(all="ignore"):
        extreme = float(max(a.max(), -a.min()))  # NaN or infinity where there is one
    if np.isfinite(extreme):
        return Sight(name, place, equations, a.shape, extreme, 0, (), 0.0)
    finite = np.isfinite(a)
    first = np.unravel_index(int(np.argmin(finite)), a.shape)
    largest = float(np.abs(a, where=finite, out=np.zeros_like(a)).max())
    return Sight(
        name, place, equations, a.shape, largest, int((~finite).sum()),
        tuple(map(int, first)), float(a[first]),
    )  # fmt: skip
