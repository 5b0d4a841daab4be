"""How loss and gradient change with batches, samples, weights and β: what checks of a gradient
at one size cannot see."""

import numpy as np


def mean_gradient(assemble, cpu64, vae, x, eps, params=None, weight=None):
    """The mean loss of a batch and its flat gradient."""
    rows = len(x)
    a = assemble(vae, cpu64, rows, params=params)
    a.run(x, eps, 1 / rows if weight is None else weight)
    return a.total / rows, a.gradient


def test_duplicating_a_batch_leaves_the_mean_loss_and_its_gradient_unchanged(
    cpu64, make, kind, batch, assemble, distance
):
    vae = make(kind)
    x, eps = batch(vae)
    once = mean_gradient(assemble, cpu64, vae, x, eps)
    twice = mean_gradient(assemble, cpu64, vae, np.tile(x, (2, 1)), np.tile(eps, (2, 1, 1)))
    np.testing.assert_allclose(twice[0], once[0], rtol=1e-14)
    assert distance(twice[1], once[1]) < 1e-14


def test_a_batch_split_in_two_gives_the_same_sums(cpu64, make, kind, batch, assemble, distance):
    vae = make(kind)
    x, eps = batch(vae)
    runs = []
    for part in (slice(None), slice(0, 2), slice(2, None)):
        a = assemble(vae, cpu64, len(x[part])).run(x[part], eps[part], weight=1 / len(x))
        runs.append((a.total, a.gradient))
    whole, first, second = runs
    np.testing.assert_allclose(first[0] + second[0], whole[0], rtol=1e-14)
    assert distance(first[1] + second[1], whole[1]) < 1e-14


def test_the_order_of_the_images_does_not_matter(cpu64, make, kind, batch, assemble, distance):
    vae = make(kind)
    x, eps = batch(vae)
    order = np.array([3, 0, 5, 1, 4, 2])
    plain = mean_gradient(assemble, cpu64, vae, x, eps)
    mixed = mean_gradient(assemble, cpu64, vae, x[order], eps[order])
    np.testing.assert_allclose(mixed[0], plain[0], rtol=1e-14)
    assert distance(mixed[1], plain[1]) < 1e-14


def test_permuting_the_pixels_of_images_and_weights_permutes_the_gradient(
    cpu64, make, kind, batch, assemble, sizes, distance
):
    vae = make(kind)
    x, eps = batch(vae)
    order = np.array([4, 9, 0, 7, 2, 10, 1, 3, 8, 6, 5])
    plain = assemble(vae, cpu64, sizes.rows).run(x, eps, weight=1 / sizes.rows)

    def permuted(arrays):
        found = dict(arrays)
        found["encoder.0.W"] = arrays["encoder.0.W"][order]
        found["decoder.4.W"] = arrays["decoder.4.W"][:, order]
        found["decoder.4.b"] = arrays["decoder.4.b"][order]
        if arrays.get("likelihood.logvar", x[0, :1]).size == sizes.pixels:
            found["likelihood.logvar"] = arrays["likelihood.logvar"][order]
        return found

    mixed = assemble(vae, cpu64, sizes.rows)
    mixed.params.load(permuted(plain.params.to_host()))
    mixed.run(x[:, order], eps, weight=1 / sizes.rows)
    np.testing.assert_allclose(mixed.total, plain.total, rtol=1e-14)
    found, expected = mixed.grads.to_host(), permuted(plain.grads.to_host())
    for name in expected:
        assert distance(found[name], expected[name]) < 1e-13, name


def test_the_loss_with_k_samples_is_the_average_over_k_losses_with_one(
    cpu64, make, kind, batch, assemble, distance
):
    vae = make(kind, samples=4)
    x, eps = batch(vae)
    together = mean_gradient(assemble, cpu64, vae, x, eps)
    single = make(kind, samples=1)
    each = [mean_gradient(assemble, cpu64, single, x, eps[:, k : k + 1]) for k in range(4)]
    np.testing.assert_allclose(together[0], np.mean([loss for loss, _ in each]), rtol=1e-14)
    assert distance(together[1], np.mean([g for _, g in each], axis=0)) < 1e-14


def test_another_number_of_samples_keeps_the_model_and_its_parameters(cpu64, make, batch, assemble):
    vae = make("bernoulli, 4 samples, beta")
    single = vae.with_samples(1)
    assert (vae.samples, single.samples) == (4, 1)
    assert single.layout == vae.layout
    x, eps = batch(vae)
    params = vae.initial_parameters(cpu64, 1)
    four = assemble(vae, cpu64, len(x), params=params).run(x, eps, 1.0)
    one = assemble(single, cpu64, len(x), params=params).run(x, eps[:, 2:3], 1.0)
    np.testing.assert_allclose(one.bound.nll[:, 0], four.bound.nll[:, 2], rtol=1e-14)


def test_the_gradient_is_linear_in_the_weight_of_the_batch(
    cpu64, make, kind, batch, assemble, distance
):
    vae = make(kind)
    x, eps = batch(vae)
    (_, one), (_, seven) = (mean_gradient(assemble, cpu64, vae, x, eps, weight=w) for w in (1, 7))
    assert distance(seven, 7 * one) < 1e-14


def test_the_loss_and_the_gradient_are_linear_in_beta(cpu64, make, kind, batch, assemble, distance):
    at = {}
    for beta in (0.0, 1.0, 2.5):
        vae = make(kind, beta=beta)
        at[beta] = mean_gradient(assemble, cpu64, vae, *batch(vae))
    expected = at[0.0][0] + 2.5 * (at[1.0][0] - at[0.0][0])
    np.testing.assert_allclose(at[2.5][0], expected, rtol=1e-14)
    assert distance(at[2.5][1], at[0.0][1] + 2.5 * (at[1.0][1] - at[0.0][1])) < 1e-14
    assert distance(at[1.0][1], at[0.0][1]) > 1e-3
