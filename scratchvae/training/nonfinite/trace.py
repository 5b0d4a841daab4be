"""A training step run by one worker, with a record of every array as soon as it is computed.

The layers, the likelihood and the estimator are the very objects that train. Each is wrapped, and
what it has written is recorded before anything else runs: an infinity that the next layer hides (a
ReLU turns −∞ into 0, in place) is found, too. A record holds the array's name, the labels of the
equation that computed it, and its largest magnitude.

Docstrings are data here: the label of an equation is read from the docstring of the method that
was called, so that it cannot disagree with the code. Where there is none (a layer of the user's
own, or Python without docstrings, ``-OO``) the record has no label.
"""

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Array, Backend, Weight
from scratchvae.latent import reparameterize, standard_deviation
from scratchvae.layers.sequential import BoundLayer, BoundSequential
from scratchvae.memory import FlatBuffer
from scratchvae.models import BoundVAE
from scratchvae.models.conditional import BoundConditionalVAE
from scratchvae.optim.base import BoundOptimizer
from scratchvae.types import Function

LABELS = re.compile(r"\((E\d+(?:, E\d+)*)\)")  # (E12) or (E2, E16), as docs/equations.md reads them
BETWEEN = "between encoder and decoder"
LIKELIHOOD = "the likelihood"

Labels = tuple[str, ...]  # ("E2", "E16"); empty where no equation is stated


class ArrayRecord(NamedTuple):
    """What is known of one array of a step, right after it was computed."""

    name: str  # "the output of encoder.0 (Dense(8))"
    place: str  # "layer 1 of 3 of the encoder"
    equations: Labels
    shape: tuple[int, ...]
    largest: float  # the largest magnitude of the finite entries; 0 if there are none
    bad: int  # the number of entries that are infinite or NaN
    first: tuple[int, ...]  # the index of the first of them
    value: float  # its value: inf, -inf or nan

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(np.prod(self.shape))


def labels_of(function: object) -> Labels:
    """The equation labels in the docstring of a function, method or class, in their order.

    Docstrings are data here: error messages name these equations.
    """
    groups = LABELS.findall(function.__doc__ or "")
    return tuple(dict.fromkeys(label for group in groups for label in group.split(", ")))


class StepTrace:
    """The arrays of a step, recorded in the order in which they are computed."""

    def __init__(self, bk: Backend) -> None:
        self.bk = bk
        self.records: list[ArrayRecord] = []

    @property
    def first_nonfinite(self) -> ArrayRecord | None:
        """The first array that holds an infinity or NaN."""
        return next((record for record in self.records if record.bad), None)

    @property
    def before(self) -> list[ArrayRecord]:
        """The arrays computed before :attr:`first_nonfinite`; all of them if none is non-finite."""
        first = self.first_nonfinite
        return self.records if first is None else self.records[: self.records.index(first)]

    def record(
        self,
        name: str,
        a: Array,
        place: str,
        equations: Labels = (),
        key: str = "",
        code: object = None,
    ) -> None:
        """Record the array ``a``, just computed at ``place``. Waits for the device.

        For a trace that keeps more: a short name, ``key``, such as "encoder.0.y" or
        "grad.decoder.0.W", and the function, method or class that computed it, ``code``.
        """
        host = self.bk.to_host(a)
        if host.size:
            self.records.append(_record(name, host, place, equations))

    # ---- the parts of a step -----------------------------------------------------------------

    def inputs(self, bound: BoundVAE, params: FlatBuffer) -> None:
        """Record what a step starts from: parameters, images, noise."""
        for name, a in params.views.items():
            self.record(name, a, "a parameter, as the step began", key=name)
        self.record("the images", bound.x, "the input", key="x")
        self.record("the noise eps", bound.eps, "the input", key="eps")

    def loss(self, bound: BoundVAE, beta: float) -> None:
        """Run :meth:`BoundVAE.loss` and record its arrays."""
        with self.bk.ignore_float_errors():
            self._traced(bound).loss(beta)

    def gradient(self, bound: BoundVAE, weight: float, beta: float) -> None:
        """Run :meth:`BoundVAE.loss_and_gradient` and record its arrays."""
        with self.bk.ignore_float_errors():
            self._traced(bound).loss_and_gradient(weight, beta)

    def update(
        self, optimizer: BoundOptimizer, params: FlatBuffer, grads: FlatBuffer, t: int
    ) -> None:
        """Run update number ``t`` with the gradient in ``grads``, and record what it writes.

        Moments that already held an infinity or NaN are left out.
        """
        rule, parts = optimizer.rule, range(len(optimizer.parts))
        moments = {
            (name, moment): a
            for moment, buffer in optimizer.state.items()
            for name, a in buffer.views.items()
        }
        finite = [each for each, a in moments.items() if np.isfinite(self.bk.to_host(a)).all()]
        with self.bk.ignore_float_errors():
            if optimizer.needs_barrier:
                for part in parts:
                    optimizer.measure_norm(part)
            for part in parts:
                optimizer.step(t, part)
        place = f"the update by {rule.name or type(rule).__name__}"
        equations = labels_of(type(rule))
        if rule.clip is not None:
            for name, a in grads.views.items():
                what, clip = f"the clipped gradient of {name}", optimizer.clip
                self.record(what, a, place, labels_of(clip), f"clipped.{name}", clip)
        code = type(rule)
        for name, moment in finite:
            what, key = f"{name}, the optimizer's {moment}, after the update", f"{moment}.{name}"
            self.record(what, moments[name, moment], place, equations, key, code)
        for name, a in params.views.items():
            self.record(f"{name} after the update", a, place, equations, f"after.{name}", code)

    # ---- the model, wrapped ------------------------------------------------------------------

    def _traced(self, bound: BoundVAE) -> BoundVAE:
        """The same model on the same buffers, whose parts record what they write.

        What a method has written is looked up in the model's buffers, not in the arguments of the
        call: a class of the user's own may name its parameters as it likes.
        """
        other: Any = copy.copy(bound)  # its parts are replaced by wrappers of them
        names = bound.vae.networks()
        other.networks = tuple(map(self._traced_layers, bound.networks, names))
        if "classifier" in names and hasattr(other, "given"):  # M2, and the model inside it
            other.given, other.classifier = self._traced(other.given), other.networks[-1]
            other.networks = (*other.given.networks, other.classifier)
            return other
        for name, network in zip(names, other.networks, strict=False):
            setattr(other, name, network)
        make_code = other.make_code

        def record_latent_and_make_code() -> None:
            latent, flow = bound.latent, bound.flow.forward
            written: list[tuple[str, str, Array, Function]] = [
                ("sigma", "std", bound.std, standard_deviation)
            ]
            if latent.log_det is not None:
                written.append(("z0", "z0", latent.z0, reparameterize))
                written.append(("the flow's log |det|", "log_det", latent.log_det, flow))
            written.append(("z", "z", bound.z, reparameterize if latent.log_det is None else flow))
            for name, key, a, code in written:
                self.record(name, a, BETWEEN, labels_of(code), key, code)
            make_code()
            if isinstance(bound, BoundConditionalVAE):
                self.record("[z | c]", bound.code, BETWEEN, labels_of(make_code), "code", make_code)

        other.make_code = record_latent_and_make_code
        other.likelihood = self._traced_likelihood(bound)
        other.estimator = self._traced_estimator(bound)
        return other

    def _traced_layers(self, part: BoundSequential, name: str) -> BoundSequential:
        count = len(part.layers)
        layers = [
            s._replace(layer=self._traced_layer(s, f"layer {i} of {count} of the {name}"))
            for i, s in enumerate(part.layers, start=1)
        ]
        return BoundSequential(part.bk, layers, part.x, part.dx)

    def _traced_layer(self, s: BoundLayer, place: str) -> Any:
        layer, what = s.layer, f"{s.label} ({s.layer!r})"
        if layer.is_view:  # nothing is computed
            return layer

        def output(_: object) -> None:
            labels, code = labels_of(layer.forward), layer.forward
            self.record(f"the output of {what}", s.y, place, labels, f"{s.label}.y", code)

        def grad_input(_: object) -> None:
            labels, code = labels_of(layer.grad_input), layer.grad_input
            name = f"the gradient at the input of {what}"
            self.record(name, s.dx, place, labels, f"{s.label}.dx", code)

        def grad_params(_: object) -> None:
            labels, code = labels_of(layer.grad_params), layer.grad_params
            for name, a in vars(s.g).items():
                parameter = f"{s.label}.{name}"
                what = f"the gradient of {parameter}"
                self.record(what, a, place, labels, f"grad.{parameter}", code)

        return _Traced(
            layer, {"forward": output, "grad_input": grad_input, "grad_params": grad_params}
        )

    def _traced_likelihood(self, bound: BoundVAE) -> "_Traced":
        likelihood = bound.likelihood

        def nll(_: object) -> None:
            code = likelihood.nll if labels_of(likelihood.nll) else likelihood.pixel_nll
            labels = labels_of(code)
            self.record("the reconstruction term", bound.nll, LIKELIHOOD, labels, "nll", code)

        def nll_and_grad(_: object) -> None:
            nll(_)
            code = likelihood.nll_and_grad
            labels = labels_of(code)[:1]  # the gradient's comes first
            name = "the gradient with respect to the logits"
            self.record(name, bound.dlogits, LIKELIHOOD, labels, "dlogits", code)

        def grad_params(_: object) -> None:
            for name, a in vars(bound.g_x).items():
                parameter, code = f"likelihood.{name}", likelihood.grad_params
                what = f"the gradient of {parameter}"
                self.record(what, a, LIKELIHOOD, labels_of(code), f"grad.{parameter}", code)

        recorders = {"nll": nll, "nll_and_grad": nll_and_grad, "grad_params": grad_params}
        return _Traced(likelihood, recorders)

    def _traced_estimator(self, bound: BoundVAE) -> "_Traced":
        estimator, latent = bound.estimator, bound.latent

        def value(_: object) -> None:
            code = estimator.value
            name = "the KL divergence"
            self.record(name, latent.kl, BETWEEN, estimator.kl_labels, "kl", code)
            labels = labels_of(code)
            for name in estimator.value_writes:
                a = getattr(latent.work, name)
                self.record(f"the {name} of the samples", a, BETWEEN, labels, name, code)
            self.record("the objective", latent.objective, BETWEEN, labels, "objective", code)
            # as the loop adds up a batch
            total = self.bk.xp.sum(latent.objective, axis=0, keepdims=True)
            self.record("the sum of the losses", total, BETWEEN, key="total")

        def sample_weight(weight: Weight) -> None:
            if not isinstance(weight, float):
                name, code = (
                    "the gradient with respect to the samples' costs",
                    estimator.sample_weight,
                )
                self.record(name, weight, BETWEEN, labels_of(code), "sample_weight", code)

        def grad_head(_: object) -> None:
            name, code = "the gradient with respect to mu and logvar", estimator.grad_head
            self.record(name, latent.dhead, BETWEEN, labels_of(code), "dhead", code)

        return _Traced(
            estimator, {"value": value, "sample_weight": sample_weight, "grad_head": grad_head}
        )


Recorder = Callable[[object], None]  # takes what the method has returned


class _Traced:
    """An object some of whose methods are followed by a record of what they have written."""

    def __init__(self, real: object, recorders: Mapping[str, Recorder]) -> None:
        self._real = real
        for name, recorder in recorders.items():
            setattr(self, name, _followed_by(getattr(real, name), recorder))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _followed_by(method: Function, recorder: Recorder) -> Function:
    def traced(*args: object, **kwargs: object) -> object:
        result = method(*args, **kwargs)
        recorder(result)
        return result

    return traced


def _record(name: str, a: NDArray, place: str, equations: Labels) -> ArrayRecord:
    with np.errstate(all="ignore"):
        extreme = float(max(a.max(), -a.min()))  # NaN or infinity if there is one
    if np.isfinite(extreme):
        return ArrayRecord(name, place, equations, a.shape, extreme, 0, (), 0.0)
    finite = np.isfinite(a)
    first = np.unravel_index(int(np.argmin(finite)), a.shape)
    largest = float(np.abs(a, where=finite, out=np.zeros_like(a)).max())
    return ArrayRecord(
        name, place, equations, a.shape, largest, int((~finite).sum()),
        tuple(map(int, first)), float(a[first]),
    )  # fmt: skip
