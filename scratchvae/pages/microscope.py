"""One training step under the microscope: every array, its equation, its code, its complex step.

The step is run by the code that trains, in float64, on one image. A :class:`StepTrace` sees every
array right after it was computed; here it keeps the numbers, too. Beside each gradient stands the
derivative by complex step: of the same loss, by the same layers, in complex128.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import scratchvae
from scratchvae.backend import Array, get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import ConfigError
from scratchvae.evaluation import as_seen_by_model
from scratchvae.gradcheck.methods import COMPLEX_STEP
from scratchvae.latent import AnalyticKL
from scratchvae.layers import Meetings
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE, BoundVAE, Model
from scratchvae.optim import Adam, Optimizer
from scratchvae.pages.network import describe_network, packed, small_vae, why_not_live
from scratchvae.runs import Checkpoint
from scratchvae.studies.equations import called, source_text
from scratchvae.training import Prepared
from scratchvae.training.nonfinite.trace import ArrayRecord, Labels, StepTrace
from scratchvae.training.step import Weighting
from scratchvae.types import Json

LARGE = 4096  # an array of more numbers is shown as a picture, its gradient rounded to float16
SMALL = 64  # an array of at most as many numbers is written digit by digit
# The complex step checks every element of a SMALL parameter, and of another array up to this size;
# of larger ones it checks those with the largest gradients.
CHECKED, LARGEST = 1024, 8
PACKAGE = Path(scratchvae.__file__).parent
TITLES = {
    "std": "The standard deviation σ",
    "z": "A sample: z = μ + σ ε",
    "code": "What the decoder reads: the sample and what is given, [z | c]",
    "kl": "The KL divergence from the prior",
    "objective": "The loss",
    "dhead": "The gradient with respect to μ and log σ²",
}
PHASES = ("Input", "Forward", "Loss", "Backward", "Update")
BACK = ("dlogits", "dhead", "sample_weight")


@dataclass(frozen=True)
class Specimen:
    """A step to show: a model with its parameters, an image, its noise, and the optimizer.

    x (1, D), with a label that is given behind it; eps (1, K, Z), parameters and moments, all in
    float64.
    """

    name: str
    about: str
    vae: VAE
    params: Mapping[str, NDArray]
    x: NDArray
    eps: NDArray
    beta: float
    rule: Optimizer
    step: int  # the number of the update
    moments: Mapping[str, Mapping[str, NDArray]] = field(default_factory=dict)
    image_shape: tuple[int, ...] | None = None


def small_specimen() -> Specimen:
    """A 4-3-2 VAE with weights of one decimal, an image of four pixels, and Adam's first step."""
    vae = small_vae()
    weights = vae.initial_parameters(get_backend("cpu", "float64"), seed=3).to_host()
    params = {name: np.round(a, 1) + 0.0 for name, a in weights.items()}
    params["encoder.0.b"][:] = [0.1, -0.2, 0.0]
    params["decoder.2.b"][:] = [0.0, 0.2, -0.1, 0.1]
    return Specimen(
        "A VAE of 4 pixels, 3 hidden units and 2 latent units",
        "Made for this page, with weights of one decimal, so that every number fits on the "
        "screen. The image has four pixels, and the update is Adam's first.",
        vae,
        params,
        np.array([[1.0, 0.0, 1.0, 1.0]]),
        np.array([[[0.5, -1.0]]]),
        vae.beta,
        Adam(lr=0.1),
        1,
        image_shape=(2, 2),
    )


def specimen_of_run(
    name: str, model: Model, checkpoint: Checkpoint, prepared: Prepared, image: int = 0
) -> Specimen:
    """The step that would follow in a run, with training image number ``image`` as its batch.

    Noise, weight of the KL, learning rate and moments are those of the run's next step. Raises
    ``ConfigError`` if there is no such image.
    """
    config, n = prepared.config, len(prepared.train)
    if not 0 <= image < n:
        raise ConfigError(f"--image is {image}, but the training images are numbered 0 to {n - 1}")
    step = checkpoint.step + 1
    seen = as_seen_by_model(
        prepared.train.take([image]), seed=config.seed, draw=checkpoint.epoch, start=image,
        condition=model.vae.condition,
    )  # fmt: skip
    shape = (1, model.vae.samples, model.vae.latent_dim)
    beta = Weighting(config.reduction, config.kl_warmup).of_kl(model.vae.beta, step)
    wide = model.to(get_backend("cpu", "float64"))
    rule = prepared.optimizer or config.make_optimizer()
    moments = {m: checkpoint.buffers.get(f"{config.optimizer}.{m}", {}) for m in rule.moments}
    return Specimen(
        f"The model of {name}",
        f"The model of the run after epoch {checkpoint.epoch}, with training image {image} as the "
        f"batch of its next step, number {step}; computed in float64.",
        model.vae,
        wide.params.to_host(),
        np.asarray(seen, np.float64),
        normal(shape, Stream(config.seed, Purpose.LATENT, step)),
        float(beta),
        rule,
        step,
        {m: views for m, views in moments.items() if views},
        prepared.dataset.image_shape,
    )


class Microscope(StepTrace):
    """A trace that keeps the arrays, and what stands in them right after they were computed."""

    def __init__(self, specimen: Specimen) -> None:
        super().__init__(get_backend("cpu", "float64"))
        self.specimen = specimen
        self.arrays: dict[str, NDArray] = {}
        self.sources: list[tuple[ArrayRecord, str, object]] = []  # with the key, and the code
        params, grads = self._buffer(specimen.params), FlatBuffer(self.bk, specimen.vae.layout)
        bound = specimen.vae.bind(Workspace(self.bk, 1), params, grads)
        self.bk.load(specimen.x, bound.x)
        self.bk.load(specimen.eps, bound.eps)
        optimizer = specimen.rule.bind(self.bk, params, grads)
        for name, views in specimen.moments.items():
            optimizer.state[name].load(views)
        for moment, buffer in optimizer.state.items():
            for name, a in buffer.to_host().items():
                self.arrays[f"before.{moment}.{name}"] = a
        self.inputs(bound, params)
        self.gradient(bound, 1.0, specimen.beta)
        self.update(optimizer, params, grads, specimen.step)

    def _buffer(self, views: Mapping[str, NDArray]) -> FlatBuffer:
        buffer = FlatBuffer(self.bk, self.specimen.vae.layout)
        buffer.load(views)
        return buffer

    def record(
        self,
        name: str,
        a: Array,
        place: str,
        equations: Labels = (),
        key: str = "",
        code: object = None,
    ) -> None:
        super().record(name, a, place, equations, key, code)
        self.arrays[key] = self.bk.to_host(a).copy()
        self.sources.append((self.records[-1], key, code))
        if key == "x" and self.specimen.vae.condition.kind:
            self.arrays["row"] = self.arrays["x"]
            self.arrays["x"] = self.arrays["row"][:, : self.specimen.vae.modelled]

    def _traced(self, bound: BoundVAE) -> BoundVAE:
        """Keep dlogits as the decoder receives it: multiplied by the weight of each sample."""
        other = super()._traced(bound)
        decoder_back = other.decoder.grad_inputs_together

        def keep_and_go_back() -> Meetings:
            self.arrays["dlogits"] = self.bk.to_host(bound.dlogits).copy()
            return decoder_back()

        other.decoder.grad_inputs_together = keep_and_go_back  # type: ignore[method-assign]
        return other


class _Nudge(StepTrace):
    """Runs the loss with one array moved: element k of it by ih, in row k of the batch."""

    def __init__(self, key: str) -> None:
        super().__init__(get_backend("cpu", "complex128"))
        self.key = key

    def record(
        self,
        name: str,
        a: Array,
        place: str,
        equations: Labels = (),
        key: str = "",
        code: object = None,
    ) -> None:
        if key == self.key:
            rows = int(np.prod(a.shape)) // len(self.elements)
            each = a.reshape(len(self.elements), rows)
            each[np.arange(len(self.elements)), self.elements] += 1j * COMPLEX_STEP

    def slopes(self, specimen: Specimen, elements: NDArray[np.int64]) -> NDArray:
        """∂ loss / ∂ element of the array, for each of ``elements``  (E28)."""
        self.elements = elements
        vae, n = specimen.vae, len(elements)
        params = FlatBuffer(self.bk, vae.layout)
        params.load({name: a.astype(complex) for name, a in specimen.params.items()})
        bound = vae.bind(Workspace(self.bk, n), params)
        bound.x[...] = specimen.x
        bound.eps[...] = specimen.eps
        self.loss(bound, specimen.beta)
        return np.asarray(bound.objective.imag / COMPLEX_STEP)


def slopes_of_parameter(specimen: Specimen, name: str, elements: NDArray[np.int64]) -> NDArray:
    """∂ loss / ∂ parameter by complex step, for some elements of it  (E28)."""
    bk = get_backend("cpu", "complex128")
    params = FlatBuffer(bk, specimen.vae.layout)
    params.load({name: a.astype(complex) for name, a in specimen.params.items()})
    bound = specimen.vae.bind(Workspace(bk, 1), params)
    bound.x[...] = specimen.x
    bound.eps[...] = specimen.eps
    flat, found = params[name].reshape(-1), []
    for element in elements:
        before = flat[element]
        flat[element] = before + 1j * COMPLEX_STEP
        bound.loss(specimen.beta)
        found.append(float(bound.objective[0].imag) / COMPLEX_STEP)
        flat[element] = before
    return np.array(found)


@dataclass(frozen=True)
class _Wiring:
    """Which array each layer reads and writes, by key."""

    parts: dict[str, list[Json]]
    read: tuple[str, str] = ("x", "z")  # by encoder and decoder; with a condition c behind each

    def rows(self) -> Iterator[tuple[Json, str, str]]:
        """(layer, the key of its input, the key of the gradient of its output)."""
        row, code = self.read
        for part, first, last in (("encoder", row, "dhead"), ("decoder", code, "dlogits")):
            layers = [each for each in self.parts[part] if each["kind"] != "view"]
            for i, layer in enumerate(layers):
                x = first if i == 0 else f"{layers[i - 1]['label']}.y"
                dy = f"{layers[i + 1]['label']}.dx" if i + 1 < len(layers) else last
                yield layer, x, dy

    def last(self, part: str) -> str:
        """The key of a part's output."""
        return next(f"{s['label']}.y" for s in self.parts[part][::-1] if s["kind"] != "view")

    def uses(self) -> dict[str, list[str]]:
        """What each array is computed from."""
        head, logits = self.last("encoder"), self.last("decoder")
        found = {
            "std": [head], "z": [head, "std", "eps"], "code": ["z", "row"],
            "nll": [logits, "x"], "kl": [head, "std"],
            "objective": ["nll", "kl"], "dlogits": [logits, "x"],
            "dhead": ["dz", "eps", "std", head],
        }  # fmt: skip
        for layer, x, dy in self.rows():
            label, names = layer["label"], [f"{layer['label']}.{p}" for p in layer["parameters"]]
            found[f"{label}.y"] = [x, *names]
            found[f"{label}.dx"] = [dy, *(names[:1] or [f"{label}.y"])]
            for name in names:
                found[f"grad.{name}"] = [x, dy]
        first = next(layer for layer, x, _ in self.rows() if x == self.read[1])
        return {
            key: [f"{first['label']}.dx" if k == "dz" else k for k in keys]
            for key, keys in found.items()
        }

    def of_gradients(self) -> dict[str, str]:
        """The array that each gradient of an array within the step belongs to."""
        found = {f"{s['label']}.dx": x for s, x, _ in self.rows() if x != self.read[0]}
        return found | {"dlogits": self.last("decoder"), "dhead": self.last("encoder")}


def examine(specimen: Specimen) -> tuple[Json, dict[str, Any]]:
    """All that a page shows of a step, and the functions that compute it, by name."""
    seen = Microscope(specimen)
    model = Model(specimen.vae, seen.bk, params=seen._buffer(specimen.params))
    network = describe_network(model)
    read = ("row", "code") if specimen.vae.condition.kind else ("x", "z")
    wiring = _Wiring({part: network[part] for part in ("encoder", "decoder")}, read)
    codes: dict[str, Any] = {}
    steps = _steps(seen, wiring, codes)
    reason = why_not_live(model, network)
    return {
        "name": specimen.name,
        "about": specimen.about,
        "network": network | {"beta": specimen.beta},
        "notLive": reason,
        "imageShape": list(specimen.image_shape or ()),
        "head": wiring.last("encoder"),
        "logits": wiring.last("decoder"),
        "dz": wiring.uses()["dhead"][0],
        "optimizer": _optimizer(specimen),
        "steps": steps,
        "arrays": dict(_arrays(seen)),
        "checks": dict(_checks(seen, wiring)),
    }, codes


def _steps(seen: Microscope, wiring: _Wiring, codes: dict[str, Any]) -> list[Json]:
    """The steps in the order to read them: arrays that one call writes stand together."""
    uses = wiring.uses()
    given = [key for key in ("row",) if key in seen.arrays]
    steps: list[Json] = [
        {"phase": "Input", "title": "The image and the noise", "shows": ["x", *given, "eps"],
         "uses": [], "equations": [], "code": []},
    ]  # fmt: skip
    params = seen.specimen.params
    found: dict[str, Json] = {}
    for r, key, code in seen.sources:
        if key in params or key in ("x", "eps", "total"):
            continue
        kind, _, rest = key.partition(".")
        updated = kind in ("after", "clipped", *seen.specimen.rule.moments)
        parameter = rest if kind == "grad" or updated else ""
        layer = parameter.rpartition(".")[0]
        phase = _phase(key, updated)
        title = TITLES.get(key, r.name[0].upper() + r.name[1:])
        if layer:
            title = f"The update of {layer}" if updated else f"The gradient of {layer}"
        together = f"{phase} {layer}" if layer else key
        new: Json = {"phase": phase, "title": title, "place": r.place, "shows": [], "uses": [],
                     "equations": [], "code": []}  # fmt: skip
        step = found.setdefault(together, new)
        read = uses.get(key, [])
        if updated:
            read = [parameter, f"grad.{parameter}"]
        step["shows"].append(key)
        step["uses"] += [each for each in read if each in seen.arrays and each not in step["uses"]]
        step["equations"] += [e for e in r.equations if e not in step["equations"]]
        for name, function in _code_of(code):
            codes[name] = function
            step["code"] += [name] if name not in step["code"] else []
    return steps + sorted(found.values(), key=lambda step: PHASES.index(step["phase"]))


def _phase(key: str, updated: bool) -> str:
    if updated:
        return "Update"
    if key in BACK or key.endswith(".dx") or key.startswith("grad."):
        return "Backward"
    return "Forward" if key in ("std", "z", "code") or key.endswith(".y") else "Loss"


def _code_of(code: Any) -> Iterator[tuple[str, Any]]:
    """The function or method that computes, then those of this package that it calls."""
    if code is None:
        return
    if isinstance(code, type):  # an optimizer
        code = code.update  # type: ignore[attr-defined]
    plain = inspect.unwrap(getattr(code, "__func__", code))
    yield plain.__qualname__, plain
    for function in called(plain):
        yield function.__qualname__, function


def source_of(code: Any) -> Json:
    """A function's file, line and text. The file of a class of the user's own is its name."""
    path, number = Path(code.__code__.co_filename), code.__code__.co_firstlineno
    inside = path.is_relative_to(PACKAGE)
    file = path.relative_to(PACKAGE.parent).as_posix() if inside else path.name
    return {"file": file, "line": number, "text": source_text(code)}


def _arrays(seen: Microscope) -> Iterator[tuple[str, Json]]:
    """Every array, by key; of a large one that was updated, the change."""
    params = seen.specimen.params
    for key, a in seen.arrays.items():
        kind, _, name = key.partition(".")
        if a.size <= LARGE:
            yield key, packed(a, "float64") if a.size > SMALL else listed(a)
        elif key in params:
            exact = np.array_equal(a.astype(np.float32), a)
            yield key, packed(a, "float32" if exact else "float64")
        elif kind == "after":
            yield f"change.{name}", packed(a - params[name], "float16")
        elif kind == "grad" or key.endswith((".y", ".dx")):
            yield key, packed(a, "float16")


def listed(a: NDArray) -> Json:
    """A small array as plain numbers, to the last digit."""
    return {"shape": list(a.shape), "values": a.ravel().tolist()}


def _optimizer(specimen: Specimen) -> Json:
    rule = specimen.rule
    about: Json = {"text": repr(rule), "lr": float(rule.schedule(specimen.step))}
    if type(rule) is Adam and rule.clip is None and rule.bias_correction and not rule.eps_hat:
        about |= {"kind": "adam", "beta1": rule.beta1, "beta2": rule.beta2, "eps": rule.eps}
    return about | {"step": specimen.step}


def _checks(seen: Microscope, wiring: _Wiring) -> Iterator[tuple[str, Json]]:
    """Beside every gradient the complex step of the same loss, and the largest difference."""
    specimen = seen.specimen
    if not specimen.vae.estimator.gradient_matches_value:
        return
    through_decoder = isinstance(specimen.vae.estimator, AnalyticKL)
    for gradient, key in wiring.of_gradients().items():
        if key == "z" and not through_decoder:
            continue  # the loss depends on z by its KL, too, which is added later
        elements = _elements(seen.arrays[gradient], CHECKED)
        yield gradient, _check(seen, gradient, elements, _Nudge(key).slopes(specimen, elements))
    for name in specimen.params:
        gradient = f"grad.{name}"
        elements = _elements(seen.arrays[gradient], SMALL)
        slopes = slopes_of_parameter(specimen, name, elements)
        yield gradient, _check(seen, gradient, elements, slopes)


def _elements(g: NDArray, limit: int) -> NDArray[np.int64]:
    """All elements of a gradient; of one with more than ``limit``, the largest."""
    if g.size <= limit:
        return np.arange(g.size)
    return np.sort(np.argsort(-np.abs(g.ravel()), kind="stable")[:LARGEST])


def _check(seen: Microscope, key: str, elements: NDArray[np.int64], slopes: NDArray) -> Json:
    g = seen.arrays[key].ravel()[elements]
    return {
        "elements": elements.tolist(),
        "gradient": g.tolist(),
        "values": slopes.tolist(),
        "difference": float(np.abs(g - slopes).max()),
    }
