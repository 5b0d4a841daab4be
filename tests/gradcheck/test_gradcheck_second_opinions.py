"""The dot test, second derivatives, lower precisions, and laws of shapes, memory and rows."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.gradcheck import UncheckableError
from scratchvae.gradcheck.laws import check_laws
from scratchvae.gradcheck.linear import dot_test
from scratchvae.gradcheck.points import point
from scratchvae.gradcheck.precision import check_precision
from scratchvae.gradcheck.second_order import check_hessian, hessian_product

X, W = point((5, 4), 0, "x"), point((4, 3), 0, "w")
V = point((6,), 0, "v")
C = W + 1j * point((4, 3), 0, "i")


def test_the_dot_test_of_a_matrix_and_its_transpose():
    assert dot_test(lambda x: W @ x, lambda w: W.T @ w, np.zeros(3)).ok
    report = dot_test(lambda x: W @ x, lambda w: 1.001 * W.T @ w, np.zeros(3))
    assert report.outcome == "wrong"
    assert report["⟨w, A v⟩ = ⟨Aᵀ w, v⟩"].verdict == "Aᵀ is not the adjoint of A"
    with pytest.raises(UncheckableError, match=r"returns shape \(4,\) .* the shape of x, \(3,\)"):
        dot_test(lambda x: W @ x, lambda w: w, np.zeros(3))


def test_the_dot_test_over_complex_numbers_takes_the_conjugate_transpose():
    x = np.zeros(3, complex)
    assert dot_test(lambda x: C @ x, lambda w: C.conj().T @ w, x).ok
    assert not dot_test(lambda x: C @ x, lambda w: C.T @ w, x).ok
    assert dot_test(np.fft.fft, lambda w: 3 * np.fft.ifft(w), x).ok


def test_the_dot_test_notices_what_is_not_linear():
    report = dot_test(lambda x: W @ x + 1.0, lambda w: W.T @ w, np.zeros(3))
    assert report["A is linear"].verdict == "A is not linear"
    assert report["Aᵀ is linear"].ok


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_gradient(x, dy):
    g = np.zeros_like(x)
    inner = x[1:] - x[:-1] ** 2
    g[:-1] = -400 * x[:-1] * inner - 2 * (1 - x[:-1])
    g[1:] += 200 * inner
    return dy * g


def rosenbrock_product(x, v):
    h = np.zeros((6, 6))
    for i in range(5):
        h[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        h[i + 1, i + 1] += 200
        h[i, i + 1] = h[i + 1, i] = -400 * x[i]
    return h @ v


def test_a_hessian_times_a_vector_from_the_gradient_alone():
    v = point((6,), 0, "direction")
    found = hessian_product(rosenbrock, V, vjp=rosenbrock_gradient, v=[v])["x"]
    assert found == pytest.approx(rosenbrock_product(V, v), rel=1e-12)


def test_second_derivatives_are_symmetric_and_a_product_by_hand_is_checked():
    assert check_hessian(rosenbrock, V, vjp=rosenbrock_gradient, hvp=rosenbrock_product).ok

    def twice(x, v):
        return 2 * rosenbrock_product(x, v)

    report = check_hessian(rosenbrock, V, vjp=rosenbrock_gradient, hvp=twice)
    assert report["⟨u, Hv⟩ = ⟨v, Hu⟩"].ok
    assert not report["H v, x"].ok


def test_a_gradient_of_no_function_has_no_symmetric_second_derivatives():
    def wrong(x, dy):
        g = rosenbrock_gradient(x, dy)
        g[0] += dy * x[1]
        return g

    report = check_hessian(rosenbrock, V, vjp=wrong)
    assert report.findings[0].verdict == "not symmetric: this is the gradient of no function"
    with pytest.raises(UncheckableError, match="cannot pass a complex step"):
        check_hessian(rosenbrock, V, vjp=lambda x, dy: np.array([float(v) for v in x]))


def dense(x, w):
    return np.tanh(x @ w)


def dense_gradient(x, w, dy):
    da = dy * (1 - np.tanh(x @ w) ** 2)
    return da @ w.T, x.T @ da


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_gradient_keeps_the_digits_of_a_lower_precision(dtype):
    report = check_precision(dense, X, W, vjp=dense_gradient, dtype=dtype)
    assert report.ok, report.text()
    assert report.method == f"{dtype} against float64"


def test_a_gradient_that_loses_digits_or_range_in_float32_is_told():
    def softplus(x):
        return np.logaddexp(x, 0)

    def overflows(x, dy):
        return dy * np.exp(x) / (1 + np.exp(x))

    x = np.array([1.0, 100.0, -3.0])
    report = check_precision(softplus, x, vjp=overflows)
    assert "leaves the range of float32" in report.findings[0].verdict
    constant = np.float64(2.0) * np.ones(6)
    report = check_precision(lambda x: constant * x, V, vjp=lambda x, dy: constant * dy)
    assert "computed in float64, not in float32" in report.findings[0].verdict
    wrong = check_precision(np.exp, V, vjp=lambda x, dy: 2 * dy * np.exp(x))
    assert "twice" in wrong.text()
    with pytest.raises(ConfigError, match="float32 or float16, not float64"):
        check_precision(np.exp, V, vjp=lambda x, dy: dy * np.exp(x), dtype="float64")


def test_where_terms_cancel_more_is_allowed():
    hilbert = 1.0 / (np.arange(4)[:, None] + np.arange(4) + 1.0)

    def inverse_gradient(a, dy):
        inverse = np.linalg.inv(a)
        return -inverse.T @ dy @ inverse.T

    assert check_precision(np.linalg.inv, hilbert, vjp=inverse_gradient).ok


def make(n):
    return point((n, 4), 0, f"x {n}"), W


def test_laws_of_a_right_gradient():
    report = check_laws(dense, X, W, vjp=dense_gradient, batched=["x"], make=make)
    assert report.ok, report.text()
    names = [f.argument for f in report.findings]
    assert names[:2] == ["x", "w"]
    assert {"strided arrays", "read-only arrays", "every example twice", "size 0", "size 7"} < (
        set(names)
    )


def test_a_gradient_that_reads_memory_as_it_lies():
    def by_strides(x, w, dy):
        flat = np.lib.stride_tricks.as_strided(x, x.shape, (x.shape[1] * 8, 8))
        return dense_gradient(flat, w, dy)

    report = check_laws(dense, X, W, vjp=by_strides)
    assert report["x"].ok
    assert not report["strided arrays"].ok


def test_a_gradient_that_averages_over_the_batch_breaks_a_law_of_rows():
    def centred(x):
        return x - x.mean(0)

    report = check_laws(centred, X, vjp=lambda x, dy: dy - dy.mean(0), batched=["x"])
    assert report["x"].ok
    assert report["examples in another order"].ok
    with pytest.raises(UncheckableError, match=r"\['z'\] are no arguments"):
        check_laws(centred, X, vjp=lambda x, dy: dy - dy.mean(0), batched=["z"])
    with pytest.raises(UncheckableError, match="no row for each of the 5 examples"):
        check_laws(lambda x: x.sum(), X, vjp=lambda x, dy: dy * np.ones_like(x), batched=["x"])


def test_a_gradient_that_fails_for_one_row():
    def squeezes(x, w, dy):
        dx, dw = dense_gradient(np.squeeze(x), w, np.squeeze(dy))
        return dx, dw

    report = check_laws(dense, X, W, vjp=squeezes, make=make)
    assert not report.ok
    assert [f.argument for f in report.findings if not f.ok] == ["size 1"]
