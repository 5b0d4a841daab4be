"""Steps that are cut into pieces: the gradient of the whole batch, added in one fixed order."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_helpers import PlainRun, numbers, settings, tiny, trained

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError, NonFiniteError
from scratchvae.latent import FLOWS
from scratchvae.reference import loss_and_gradient
from scratchvae.training import epoch_order
from scratchvae.training.pieces import PieceStep, Tree, even_stretches, make_piece_step
from scratchvae.training.prepared import prepare


def step_of(**changes: Any) -> PieceStep:
    """The step of a training of ``tiny()``: 27 images in batches of 8, the last of 3."""
    config = settings(**({"dtype": "float64"} | changes))
    step = make_piece_step(prepare(config, tiny()), get_backend("cpu", config.dtype))
    step.start_epoch(epoch_order(27, config.seed, 1, True))
    return step


# ---- the tree ------------------------------------------------------------------------------------


def in_order(values: list[float | None]) -> float | None:
    """The sum of a tree, from its definition: cut after the largest power of two below n."""
    if len(values) == 1:
        return values[0]
    half = max(2**k for k in range(20) if 2**k < len(values))
    left, right = in_order(values[:half]), in_order(values[half:])
    if left is None or right is None:
        return right if left is None else left
    return left + right


def test_four_pieces_are_added_in_pairs():
    tree = Tree([True] * 4)
    assert tree.children((0, 4)) == [(0, 2), (2, 4)]
    known = [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert tree.additions(known) == [((0, 1), (1, 2)), ((2, 3), (3, 4)), ((0, 1), (2, 3))]


@given(st.data())
def test_however_pieces_are_divided_among_ranks_their_sum_has_the_same_bits(data):
    count = data.draw(st.integers(1, 12))
    filled = data.draw(st.lists(st.booleans(), min_size=count, max_size=count).filter(any))
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=4)))
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    tree, sums = Tree(filled), {}
    for first, end in pairwise([0, *cuts, count]):
        for start, stop in tree.nodes_within(first, end):  # what a rank adds up by itself
            rows = [values[k] if filled[k] else None for k in range(start, stop)]
            sums[start, stop] = in_order(rows)
    nodes = sorted(sums)
    for left, right in tree.additions(nodes):
        sums[left] = sums[left] + sums[right]
    expected = in_order([v if there else None for v, there in zip(values, filled, strict=True)])
    assert sums[nodes[0]] == expected


def test_stretches_cover_the_buffer_and_begin_on_cache_lines():
    cut = even_stretches(112, 3)
    assert [(s.start, s.stop) for s in cut] == [(0, 32), (32, 64), (64, 112)]


# ---- the step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("i", [0, 3])  # a whole batch, and the last of 3 images
def test_the_gradient_of_the_pieces_is_that_of_the_batch(pieces, i):
    step = step_of(pieces=pieces)
    batch = step.gradient(i + 1, i)
    gradient = step.grads.to_host()
    plain = PlainRun(settings(dtype="float64"))
    index = step.order[8 * i : 8 * i + 8]
    cuts = [round(len(index) * k / pieces) for k in range(pieces + 1)]
    eps = [  # a lane of the step's stream for each piece
        normal((stop - start, 2), Stream(0, Purpose.LATENT, i + 1, lane))
        for lane, (start, stop) in enumerate(pairwise(cuts))
    ]
    *_, expected = loss_and_gradient(plain.vae, plain.x[index], np.concatenate(eps), 1.0)
    np.testing.assert_array_equal(step.bk.to_host(batch.bound.eps)[:, 0], np.concatenate(eps))
    found = [gradient[name] for name in gradient]
    for ours, theirs in zip(found, expected.arrays(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


MODELS = [
    {},
    {"likelihood": "gaussian-learned"},
    {"samples": 3},
    {"second_units": 3},
    {"condition": "some-labels:10", "labels": 20},
    *({"posterior": name, "estimator": "monte-carlo"} for name in FLOWS),
]


@pytest.mark.parametrize("more", MODELS)
def test_one_piece_trains_as_the_step_that_is_not_cut(more):
    one, none = (trained(settings(pieces=n, workers=1, **more)) for n in (1, 0))
    for a, b in zip(one.model.params.views.values(), none.model.params.views.values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert numbers(one) == numbers(none)


@pytest.mark.parametrize("more", [{"clip": 0.01}, {"binarize": "dynamic"}, {"hidden": (8, 8)}])
def test_pieces_learn_what_a_whole_batch_learns(more):
    cut, whole = (trained(settings(pieces=n, epochs=20, **more)) for n in (4, 0))
    assert cut.metrics[-1]["test_loss"] == pytest.approx(whole.metrics[-1]["test_loss"], rel=0.01)


def test_an_infinity_is_found_in_a_step_of_pieces():
    with pytest.raises(NonFiniteError, match="first appeared in"):
        trained(settings(pieces=4, lr=1e30))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pieces": 9}, "pieces is 9, but a batch has only 8 images"),
        ({"pieces": 2, "free_bits": 0.1}, "free bits need the mean KL of the whole batch"),
        ({"pieces": 2, "workers": 2}, "divided among ranks, not workers"),
        ({"pieces": -1}, "pieces is -1"),
        ({"sum_order": "random"}, "sum_order is 'random', but it must be one of fixed, any"),
    ],
)
def test_pieces_that_cannot_be_are_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        trained(TrainConfig(**settings().to_json() | changes))
