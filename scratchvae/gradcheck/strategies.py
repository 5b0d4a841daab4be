"""Hypothesis strategies for arrays, layers, architectures and models, for tests of any package.

The only module of the package that imports Hypothesis. All sizes of an example differ, so that a
transpose or a wrong divisor cannot hide.
"""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from scratchvae.gradcheck.configurations import LIKELIHOODS, Configuration, Hidden
from scratchvae.gradcheck.subjects import BufferedSubject, layer_subject
from scratchvae.gradcheck.subjects.model import ModelSubject
from scratchvae.latent import LogStdHead
from scratchvae.layers import ACTIVATIONS, Dense, Layer
from scratchvae.types import Json

SCALES = (0.1, 0.5, 1.0, 2.0, 4.0, 6.0)  # of weights: the last ones saturate every unit


def register_profiles() -> None:
    """Hypothesis profiles: ``ci`` draws the same examples every time, ``dev`` fresh ones."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    common: Json = {"deadline": None, "print_blob": True}
    settings.register_profile(
        "ci", derandomize=True, database=None, suppress_health_check=slow, **common
    )
    fresh = common | {"derandomize": False}  # where CI is set, Hypothesis' default is True
    settings.register_profile("dev", max_examples=25, **fresh)
    settings.register_profile("thorough", max_examples=2000, suppress_health_check=slow, **fresh)


def sizes(count: int, largest: int = 9) -> st.SearchStrategy[list[int]]:
    """``count`` different sizes."""
    return st.lists(st.integers(1, largest), min_size=count, max_size=count, unique=True)


def arrays(
    shape: tuple[int, ...] | None = None, magnitude: float = 3.0
) -> st.SearchStrategy[NDArray[np.float64]]:
    """Float64 arrays of a given shape, or of one to three different sizes, zeros included."""
    numbers = st.floats(-magnitude, magnitude, allow_subnormal=False)
    if shape is not None:
        return hnp.arrays(np.float64, shape, elements=numbers)
    shapes = st.integers(1, 3).flatmap(lambda n: sizes(n, 5)).map(tuple)
    return shapes.flatmap(lambda s: hnp.arrays(np.float64, s, elements=numbers))


def activations() -> st.SearchStrategy[str]:
    """The name of an activation."""
    return st.sampled_from(sorted(ACTIVATIONS))


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """A layer that is not built yet; any number of inputs that is even suits it."""
    kind = draw(st.sampled_from(["dense", "logstd", *sorted(ACTIVATIONS)]))
    if kind == "dense":
        return Dense(draw(st.integers(1, 7)))
    return LogStdHead() if kind == "logstd" else ACTIVATIONS[kind]()


@st.composite
def layer_subjects(draw: st.DrawFn, magnitude: float = 3.0) -> BufferedSubject:
    """A layer at drawn inputs (B, I), parameters seeded, B and I different, B often 1."""
    layer, rows = draw(layers()), draw(st.sampled_from([1, 3, 5]))
    width = draw(st.sampled_from([2, 4, 6]))
    x = draw(arrays((rows, width), magnitude))
    return layer_subject(layer, x, seed=draw(st.integers(0, 99)))


@st.composite
def architectures(draw: st.DrawFn, largest: int = 7, depth: int = 2) -> tuple[Hidden, int, Hidden]:
    """Hidden layers of an encoder, a latent size, and hidden layers of a decoder."""
    up, down = draw(st.integers(0, depth)), draw(st.integers(0, depth))
    latent, *units = draw(sizes(1 + up + down, largest))
    hidden = tuple((n, draw(activations())) for n in units)
    return hidden[:up], latent, hidden[up:]


@st.composite
def configurations(
    draw: st.DrawFn, largest: int = 7, depth: int = 2, scales: tuple[float, ...] = SCALES
) -> Configuration:
    """A whole model with the point to check it at; its ``command()`` repeats a failure."""
    encoder, latent, decoder = draw(architectures(largest, depth))
    used = {latent, *(n for n, _ in (*encoder, *decoder))}
    left = [n for n in range(1, largest + 6) if n not in used]
    return Configuration(
        pixels=draw(st.sampled_from([n for n in left if n > 1])),
        encoder=encoder,
        latent=latent,
        decoder=decoder,
        likelihood=draw(st.sampled_from(sorted(LIKELIHOODS))),
        head=draw(st.sampled_from(["logvar", "logstd"])),
        beta=draw(st.sampled_from([1.0, 0.0, 0.25, 4.0])),
        samples=draw(st.integers(1, 3)),
        rows=draw(st.sampled_from([1, 2, 4, 5])),
        scale=draw(st.sampled_from(scales)),
        seed=draw(st.integers(0, 10_000)),
    )


def models(**how: Any) -> st.SearchStrategy[ModelSubject]:
    """The models of :func:`configurations`, ready to be checked."""
    return configurations(**how).map(lambda c: c.subject())
