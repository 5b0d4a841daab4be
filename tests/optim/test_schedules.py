"""Learning rates by the step: their values, their texts, and who uses them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchvae.errors import ConfigError
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.optim import OPTIMIZERS, SCHEDULES, schedule
from scratchvae.optim.schedules import Constant, Cosine, Exponential, Piecewise, Warmup

EXAMPLES = {
    "0.001": ([1, 9999], [1e-3, 1e-3]),
    "constant:0.001": ([1, 9999], [1e-3, 1e-3]),
    "exponential:0.5:0.25:10": ([1, 6, 11, 21], [0.5, 0.25, 0.125, 0.03125]),
    "cosine:1.0:0.2:8": ([1, 3, 5, 9, 50], [1.0, 0.6 + 0.4 * math.sqrt(0.5), 0.6, 0.2, 0.2]),
    "piecewise:3:2:2:4:1": ([1, 2, 3, 4, 5, 99], [3, 3, 2, 2, 1, 1]),
    "piecewise:3": ([1, 7], [3, 3]),
    "warmup:4:0.8": ([1, 2, 4, 5], [0.2, 0.4, 0.8, 0.8]),
    "warmup:4:piecewise:0.8:2:0.4": ([1, 2, 3, 9], [0.2, 0.4, 0.3, 0.4]),
}
rates = st.floats(1e-9, 1e3)
steps = st.integers(1, 10**6)
simple = (
    st.builds(Constant, rates)
    | st.builds(Exponential, rates, st.floats(1e-6, 1.0), steps)
    | st.builds(Cosine, rates, rates, steps)
    | st.lists(steps, min_size=0, max_size=4, unique=True).flatmap(
        lambda until: st.builds(
            Piecewise,
            st.tuples(*[rates] * (len(until) + 1)),
            st.just(tuple(sorted(until))),
        )
    )
)
any_schedule = simple | st.builds(Warmup, steps, simple)


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_schedule_has_the_rates_that_its_text_says(text):
    at, expected = EXAMPLES[text]
    np.testing.assert_allclose([schedule(text)(t) for t in at], expected, rtol=1e-15)


@given(any_schedule)
def test_the_text_of_a_schedule_gives_it_back_through_json(made):
    assert schedule(json.loads(json.dumps(str(made)))) == made


@given(any_schedule, st.integers(1, 10**7))
def test_a_rate_is_a_finite_python_float_that_is_never_negative(made, t):
    rate = made(t)
    assert type(rate) is float
    assert 0 <= rate < math.inf


def test_a_number_is_a_constant_and_a_schedule_itself():
    assert schedule(0.25) == Constant(0.25) == schedule("0.25")
    assert schedule(2) == Constant(2.0)
    made = Cosine(1.0, 0.0, 5)
    assert schedule(made) is made
    assert set(SCHEDULES) == {"constant", "exponential", "cosine", "piecewise", "warmup"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_at_each_step_the_rate_of_that_step(name, cpu64):
    layout, found = Layout({"W": (3,)}), []
    for rates in (["piecewise:0.5:1:0.25"] * 2, [0.5, 0.25]):
        params, grads = FlatBuffer(cpu64, layout), FlatBuffer(cpu64, layout)
        grads["W"][...] = [1.0, -2.0, 3.0]
        states = None
        for t, lr in enumerate(rates, start=1):
            bound = OPTIMIZERS[name](lr=lr).bind(cpu64, params, grads)
            for key, moment in (states or {}).items():
                bound.state[key].flat[...] = moment
            bound.step(t)
            states = {key: moment.flat for key, moment in bound.state.items()}
        found.append(params.flat)
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0][:3].all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("cosine:1e-3", "neither a number nor a schedule: constant:η"),
        ("cosine:1e-3:1e-4:many", "neither a number"),
        ("cosine:1e-3:1e-4:2:3", "neither a number"),
        ("sawtooth:1:2", "neither a number"),
        ("", "neither a number"),
        ("warmup:5", "neither a number"),
        ("warmup", "neither a number"),
        ("warmup:0:1e-3", "at least one step, not 0"),
        ("exponential:1e-3:1.5:10", r"lies in \(0, 1\], not 1.5"),
        ("exponential:0:0.5:10", "learning rate must be positive, not 0.0"),
        ("cosine:1e-3:-1e-3:10", "must not be negative: -0.001"),
        ("piecewise:1:5:0.5:3:0.1", "its steps rise: piecewise:1.0:5:0.5:3:0.1"),
        ("piecewise:1:5", "one rate more than steps"),
        ("piecewise:1:5:0.5:5:0.1", "its steps rise: piecewise:1.0:5:0.5:5:0.1"),
        ("piecewise:1:5:0:9:0.1", "must be positive, not 0.0"),
        ("piecewise:1:0:0.5", "at least one step, not 0"),
        ("exponential:1e-3:0.5:0", "at least one step, not 0"),
        ("cosine:1e-3:1e-4:0", "at least one step, not 0"),
        ("cosine:0:1e-4:10", "must be positive, not 0.0"),
        ("cosine:1e-3:inf:10", "must not be negative: inf"),
        ("inf", "must be positive, not inf"),
        ("nan", "must be positive, not nan"),
        (0.0, "must be positive, not 0"),
        (True, "not True"),
        (None, "not None"),
    ],
)
def test_what_is_no_schedule_is_refused(bad, message):
    with pytest.raises(ConfigError, match=message):
        schedule(bad)
