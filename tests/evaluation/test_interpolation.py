"""From one latent vector to another."""

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.evaluation import interpolate
from scratchvae.evaluation.interpolation import PATHS, linear, spherical
from scratchvae.models import VAE, Model

T = np.linspace(0, 1, 7)
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 5, 3))


@pytest.mark.parametrize("path", PATHS)
def test_e62_every_path_begins_and_ends_where_it_should(path) -> None:
    z = PATHS[path](A, B, T)
    assert z.shape == (5, 7, 3)
    np.testing.assert_allclose(z[:, 0], A, rtol=1e-14)
    np.testing.assert_allclose(z[:, -1], B, rtol=1e-13)


def test_e62_the_line_is_divided_evenly() -> None:
    z = linear(A, B, T)
    np.testing.assert_allclose(np.diff(z, axis=1), np.repeat((B - A)[:, None] / 6, 6, axis=1))


def test_e62_on_the_sphere_length_stays_and_the_angle_grows_evenly() -> None:
    a, b = (v / np.linalg.norm(v, axis=1)[:, None] * 2.5 for v in (A, B))
    z = spherical(a, b, T)
    np.testing.assert_allclose(np.linalg.norm(z, axis=2), 2.5, rtol=1e-13)
    angles = np.arccos((z[:, 1:] * z[:, :-1]).sum(axis=2) / 2.5**2)
    np.testing.assert_allclose(angles, angles[:, :1] * np.ones(6), rtol=1e-9)


def test_e62_between_unequal_lengths_the_length_changes_evenly_however_wide_the_angle() -> None:
    a = np.array([[2.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    b = np.array([[-5.0, 1e-3], [0.0, 5.0], [-3.0, 0.1]])  # the first: all but opposite
    lengths = np.linalg.norm(spherical(a, b, T), axis=2)
    ends = np.linalg.norm(a, axis=1)[:, None], np.linalg.norm(b, axis=1)[:, None]
    np.testing.assert_allclose(lengths, ends[0] * (1 - T) + ends[1] * T, rtol=1e-9)


def test_e62_by_hand() -> None:
    z = spherical(np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]]), np.array([0.5]))
    np.testing.assert_allclose(z, [[[np.sqrt(2), np.sqrt(2)]]], rtol=1e-15)


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0])
def test_e62_where_there_is_no_arc_the_line_is_taken(factor) -> None:
    np.testing.assert_array_equal(spherical(A, factor * A, T), linear(A, factor * A, T))
    np.testing.assert_array_equal(spherical(factor * A, A, T), linear(factor * A, A, T))


@pytest.mark.parametrize(("angle", "has_arc"), [(0.8e-6, False), (1.2e-6, True), (1.0, True)])
def test_e62_directions_less_than_a_millionth_apart_are_one(angle, has_arc) -> None:
    ends = np.array([[1.0, 0.0]]), np.array([[np.cos(angle), np.sin(angle)]])
    on_circle = np.stack([np.cos(T * angle), np.sin(T * angle)], axis=1)[None]
    found = spherical(*ends, T)
    np.testing.assert_allclose(found, on_circle, rtol=0, atol=1e-9)
    assert (found != linear(*ends, T)).any() == has_arc


def test_e62_the_ends_are_the_reconstructions_of_the_images() -> None:
    model = Model(VAE.mlp(11, (7,), latent_dim=3), get_backend("cpu", "float64"), seed=1)
    first, second = RNG.random((2, 4, 11))
    for path in PATHS:
        decoded = interpolate(model, first, second, 5, path)
        assert decoded.shape == (4, 5, 11)
        np.testing.assert_allclose(decoded[:, 0], model.reconstruct(first), rtol=1e-12)
        np.testing.assert_allclose(decoded[:, -1], model.reconstruct(second), rtol=1e-12)


def test_paths_and_steps_that_cannot_be_are_refused() -> None:
    model = Model(VAE.mlp(11, (7,), latent_dim=3), get_backend("cpu", "float64"))
    x = RNG.random((2, 11))
    with pytest.raises(ConfigError, match="'round' is not one of linear, spherical"):
        interpolate(model, x, x, 5, "round")
    with pytest.raises(ConfigError, match="at least its two ends"):
        interpolate(model, x, x, 1)
    with pytest.raises(ConfigError, match="cannot be paired"):
        interpolate(model, x, x[:1], 5)
