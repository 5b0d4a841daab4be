"""What a model is given: array-likes convert to the right numbers, and wrong values are refused."""

import numpy as np
import pandas as pd
import pytest

from scratchvae.data import load_dataset
from scratchvae.errors import DataError
from scratchvae.likelihoods import Categorical, Gaussian
from scratchvae.models import VAE, Model

D = 12
X = np.random.default_rng(0).random((5, D))


@pytest.fixture
def model(cpu64):
    return Model(VAE.mlp(D, (8,), latent_dim=2), cpu64, seed=1)


def the_uses(model, z=None):
    """Every method that takes images."""
    z = np.zeros((5, 2)) if z is None else z
    return [
        model.encode, model.reconstruct, model.loss, model.loss_and_gradient, model.terms,
        lambda x: model.pixel_nll(x, z[: len(x)]),
    ]  # fmt: skip


def is_the_same(model, images):
    """Whether the images give the numbers of X, whatever is done with them."""
    np.testing.assert_array_equal(model.encode(images).mu, model.encode(X).mu)
    np.testing.assert_array_equal(model.encode(images).logvar, model.encode(X).logvar)
    np.testing.assert_array_equal(model.reconstruct(images), model.reconstruct(X))
    z = model.encode(X).mu
    np.testing.assert_array_equal(model.pixel_nll(images, z), model.pixel_nll(X, z))
    assert model.loss_and_gradient(images).loss == model.loss(X)
    return model.loss(images) == model.loss(X)


@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist, tuple, memoryview, np.asfortranarray, lambda x: x.astype(np.longdouble),
        lambda x: x.reshape(5, 3, 4), lambda x: x.reshape(5, 3, 4).tolist(),
    ],
)  # fmt: skip
def test_whatever_makes_an_array_of_images_gives_the_same_numbers(model, convert):
    assert is_the_same(model, convert(X))


def test_a_tensor_of_pytorch_gives_the_same_numbers_also_with_a_gradient(model):
    torch = pytest.importorskip("torch")
    eps = np.linspace(-1.0, 1.0, 10).reshape(5, 1, 2)
    for options in ({}, {"requires_grad": True}):
        assert is_the_same(model, torch.tensor(X, **options))
        assert model.loss(X, torch.tensor(eps, **options)) == model.loss(X, eps)
    assert model.decode(torch.zeros(3, 2)).shape == (3, D)
    with pytest.raises(DataError, match="images cannot be converted to an array of numbers"):
        model.encode(torch.tensor(X).to_sparse())


def test_a_data_frame_gives_the_same_numbers_and_one_of_words_is_refused(model):
    frame = pd.DataFrame(X)
    assert is_the_same(model, frame)
    with pytest.raises(DataError, match="an array of real numbers, not object"):
        model.encode(frame.astype({0: str}))


@pytest.mark.parametrize("image", [X[0], X[0].reshape(3, 4), X[0].reshape(1, 3, 4)])
def test_one_image_is_a_batch_of_one(model, image):
    np.testing.assert_array_equal(model.encode(image).mu, model.encode(X[:1]).mu)
    assert model.reconstruct(image).shape == (1, D)
    assert model.decode([0.5, 0.25]).shape == (1, D)


def test_as_many_images_as_pixels_are_images(model):
    assert len(model.encode(np.zeros((D, D))).mu) == D


def test_binary_pixels_may_be_booleans_or_whole_numbers(model):
    lit = X > 0.5
    for dtype in (bool, np.uint8, np.int64, np.float32):
        np.testing.assert_array_equal(
            model.encode(lit.astype(dtype)).mu, model.encode(lit.astype(float)).mu
        )
        assert model.loss(lit.astype(dtype)) == model.loss(lit.astype(float))


def test_whole_numbers_are_binary_pixels_from_0_to_1_only(cpu64):
    model = Model(VAE.mlp(D, (8,), latent_dim=2, likelihood=Gaussian(1.0, "identity")), cpu64)
    ones = np.ones((2, D), np.int64)
    np.testing.assert_array_equal(model.encode(ones).mu, model.encode(ones.astype(float)).mu)
    signed = np.resize(np.array([-1, 1]), (2, D))
    with pytest.raises(DataError, match="whole numbers from -1 to 1"):
        model.encode(signed)


def test_numbers_in_a_row_are_no_images_of_one_pixel(cpu64):
    with pytest.raises(DataError, match=r"shape \(3,\), expected \(N, 1\)"):
        Model(VAE.mlp(1, (8,), latent_dim=2), cpu64).encode(np.zeros(3))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint32])
def test_levels_are_not_taken_for_grey_values(model, dtype):
    levels = (X * 16).astype(dtype)
    for use in the_uses(model):
        with pytest.raises(
            DataError, match=r"are levels and not grey values: use split\.values\(\)"
        ):
            use(levels)


def test_the_digits_encode_as_grey_values_and_their_levels_are_refused(cpu64):
    test = load_dataset("digits").test
    model = Model(VAE.mlp(64, (8,), latent_dim=2), cpu64)
    grey = test.images[:5] / 16
    np.testing.assert_allclose(model.encode(test.values()[:5]).mu, model.encode(grey).mu, rtol=1e-6)
    with pytest.raises(DataError, match="whole numbers from 0 to 16"):
        model.encode(test.images[:5])
    with pytest.raises(DataError, match="not a Split"):
        model.encode(test)


def test_values_that_a_likelihood_has_no_probability_for_are_refused(model):
    for images in (2 * X - 1, 255 * X, X + 1e-3 * (X.max() == X) + (X.max() == X)):
        for use in the_uses(model):
            with pytest.raises(DataError, match=r"Bernoulli likelihood is of values in \[0, 1\]"):
                use(images)


def test_a_categorical_has_no_level_outside_the_unit_interval(cpu64):
    model = Model(VAE.mlp(D, (8,), likelihood=Categorical(3)), cpu64)
    with pytest.raises(DataError, match=r"of values in \[0, 1\]"):
        model.encode(np.full((2, D), 1.5))


def test_a_gaussian_takes_any_finite_values(cpu64):
    model = Model(VAE.mlp(D, (8,), latent_dim=2, likelihood=Gaussian(0.5, "identity")), cpu64)
    assert np.isfinite(model.loss(200 * X - 100).total)
    for bad in (np.nan, np.inf, -np.inf):
        images = X.copy()
        images[3, 2] = bad
        for use in the_uses(model):
            with pytest.raises(DataError, match=r"1 values of 60 .* at index \(3, 2\)"):
                use(images.tolist())


def test_masked_numbers_are_refused_wherever_they_come(model):
    for use in the_uses(model):
        with pytest.raises(DataError, match="images are a masked array"):
            use(np.ma.masked_less(X, 0.5))
    with pytest.raises(DataError, match="latent vectors are a masked array"):
        model.decode(np.ma.masked_less(X[:, :2], 0.5))
    with pytest.raises(DataError, match="eps are a masked array"):
        model.loss(X, np.ma.masked_less(X[:, None, :2], 0.5))


def test_seeds_and_counts_may_be_numpys_numbers(model):
    assert model.loss(X, seed=np.int64(3)) == model.loss(X, seed=3)
    np.testing.assert_array_equal(
        model.sample(np.int32(4), seed=np.uint8(2)).draws, model.sample(4, seed=2).draws
    )
