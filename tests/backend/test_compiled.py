"""Loops that numba compiles: the bits of NumPy's update rules, and all else to a few ulp."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit

from scratchvae import TrainConfig, load_dataset, train
from scratchvae.backend import get_backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.latent import (
    InverseAutoregressive,
    LatentBuffers,
    Planar,
    Radial,
    autoregressive,
    gaussian,
)
from scratchvae.latent.flows import BoundPlanar, BoundRadial
from scratchvae.layers.activations import relu_grad, tanh, tanh_grad
from scratchvae.likelihoods.bernoulli import bernoulli_nll, bernoulli_nll_and_grad
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.optim import SGD, Adagrad, Adam, RMSprop
from scratchvae.runs import RunFolder
from scratchvae.training.state import used_compiled

pytest.importorskip("numba")
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
RULES = [
    Adam(), Adam(bias_correction=False), Adam(eps_hat=True, v0=1.0), RMSprop(),
    RMSprop(eps_inside=True), SGD(), SGD(nesterov=True), SGD(momentum=0.0), Adagrad(),
]  # fmt: skip


def both(dtype="float32"):
    return get_backend("cpu", dtype), get_backend("cpu", dtype, compiled=True)


def test_the_loops_are_used_where_they_are_asked_for_and_nowhere_else():
    plain, loops = both()
    assert (plain.compiled, loops.compiled) == (False, True)
    assert loops.with_compiled(True) is loops
    assert type(loops.with_compiled(False)) is NumpyBackend
    assert not get_backend("strict", compiled=True).compiled
    assert not get_backend("cpu", "complex128", compiled=True).compiled
    assert set(loops.fused_forms) > set(plain.fused_forms)
    numba = {"numba": importlib.import_module("numba").__version__}
    assert loops.describe() == plain.describe() | numba


def test_nothing_imports_numba_unless_it_is_asked_for():
    program = (
        "import sys, scratchvae; from scratchvae import *; bk = get_backend('cpu');"
        "train(TrainConfig(hidden=4, epochs=1, compiled=False), load_dataset('digits'));"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@each_dtype
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_e24_e41_e42_e43_an_update_rule_has_the_bits_of_its_form_in_numpy(rule, dtype):
    kept = []
    for bk in both(dtype):
        rng = np.random.default_rng(1)
        p = rng.normal(size=1003).astype(dtype)
        moments = [np.full(p.shape, rule.starts.get(name, 0.0), dtype) for name in rule.moments]
        buffers = (*moments, bk.update_scratch(p.size))
        sizes = rng.choice([1e4 * float(np.finfo(dtype).tiny), 1e-20, 1e-4, 1.0], p.shape)
        for t in range(1, 131):  # the update number 128 flushes
            g = (rng.normal(size=p.shape) * sizes).astype(dtype)
            bk.fused(type(rule).update)(rule, bk, p, g, buffers, 1e-2, t)
        kept.append((p, *moments))
    for numpy, loops in zip(*kept, strict=True):
        assert numpy.tobytes() == loops.tobytes()


@pytest.mark.parametrize("equation", [relu_grad, tanh_grad])
@each_dtype
def test_e9_e11_the_gradients_of_activations_are_the_same_numbers(equation, dtype):
    rng = np.random.default_rng(2)
    y, dy = np.tanh(rng.normal(size=(2, 33, 7))).astype(dtype)
    y[0] = 0.0
    found = []
    for bk in both(dtype):
        dx, tmp = (np.full(y.shape, np.nan, dtype) for _ in range(2))
        bk.compute(equation, y, dy, dx, tmp)
        found.append(dx)
        in_place, tmp = dy.copy(), np.empty_like(dy)
        bk.compute(equation, y, in_place, in_place, tmp)
        np.testing.assert_array_equal(in_place, dx)
    np.testing.assert_array_equal(*found)


def test_e8_tanh_is_right_to_two_ulp_and_keeps_signs_infinities_and_nan():
    from scratchvae.backend.compiled import tanh

    x = np.concatenate([np.linspace(-12, 12, 4001), np.geomspace(1e-44, 0.7, 999)]).astype("f4")
    y, exact = np.empty_like(x), np.tanh(x.astype("f8"))
    tanh(both()[1], x, y)
    assert np.max(np.abs(y - exact) / np.spacing(np.abs(exact).astype("f4"))) < 2
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1e38, 90.0], "f4")
    with np.errstate(all="ignore"):
        tanh(both()[1], x, x)
    np.testing.assert_array_equal(x, np.array([0, 0, 1, -1, np.nan, -1, 1], "f4"))
    assert np.signbit(x[1])


def latent_arrays(dtype, samples):
    """head, std, z and eps of three images and five latent units, and room for what comes."""
    rng = np.random.default_rng(5)
    head = rng.normal(size=(3, 10)).astype(dtype)
    std, eps = np.exp(head[:, 5:] / 2), rng.normal(size=(3, samples, 5)).astype(dtype)
    return head, std, head[:, None, :5] + std[:, None] * eps, eps, np.empty_like(eps)


@pytest.mark.parametrize("samples", [1, 4])
@each_dtype
def test_e13_e16_e17_e45_the_latent_equations_are_the_same_numbers(dtype, samples):
    head, std, z, eps, like_z = latent_arrays(dtype, samples)
    found = []
    for bk in both(dtype):
        kl, sampled, kl_tmp = (np.full((3, 5), np.nan, dtype) for _ in range(3))
        ratio, sums = (np.full((3, samples), np.nan, dtype) for _ in range(2))
        grad, added = np.full(head.shape, np.nan, dtype), np.arange(30, dtype=dtype).reshape(3, 10)
        bk.compute(gaussian.kl_per_unit, head, std, kl, kl_tmp)
        bk.compute(gaussian.monte_carlo_kl, head, z, eps, sampled, (like_z, kl_tmp))
        tmp = like_z, sums, np.empty(3, dtype)
        bk.compute(gaussian.log_ratio, head, z, eps, ratio, tmp)
        bk.compute(gaussian.reparameterize_grad, std, eps, z, grad, like_z)
        bk.compute(gaussian.kl_grad, head, std, 0.25, added, kl_tmp)
        found.append((kl, sampled, ratio, grad, added))
    for numpy, loops in zip(*found, strict=True):
        np.testing.assert_allclose(loops, numpy, rtol=0, atol=40 * np.finfo(dtype).eps)


def test_e17_a_weight_for_each_latent_unit_is_left_to_numpy():
    head, std, *_ = latent_arrays("float32", 1)
    weight, found = np.array([0, 1, 0, 2, 3], "f4"), []
    for bk in both():
        added = np.zeros_like(head)
        bk.compute(gaussian.kl_grad, head, std, weight, added, np.empty_like(std))
        found.append(added)
    np.testing.assert_array_equal(*found)


FLOWS = [Planar(3), Radial(3), InverseAutoregressive(3, 4)]


def carried_and_sent_back(bk, flow, scale, weight, latent=21):
    """What a flow makes of two samples for each of four images, and the gradient, by name."""
    rng = np.random.default_rng(7)
    shapes = {f"flow.{p.name}": p.shape for p in flow.parameters(latent)}
    params, grads = (FlatBuffer(bk, Layout(shapes)) for _ in range(2))
    params.load({name: rng.normal(size=shape) for name, shape in shapes.items()})
    head = scale * rng.normal(size=(4, 2 * latent + flow.inputs(latent))) / latent**0.5
    head, dhead = head.astype(bk.dtype), np.full(head.shape, np.nan, bk.dtype)
    node = LatentBuffers(Workspace(bk, 4), 2, latent, head, dhead, has_flow=True)
    bound = flow.bind(Workspace(bk, 4), node, params, grads)
    node.z0[...], node.dz[...] = rng.normal(size=(2, 4, 2, latent))
    bk.perform(bound.forward)
    bk.perform(bound.grad_inputs, weight)
    found = {"z": node.z, "log_det": node.log_det, "dz": node.dz, "numbers": node.dflow_inputs}
    return found | {s.label: s.dy for s in bound.layers}


@pytest.mark.parametrize("flow", FLOWS, ids=repr)
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("each", [False, True], ids=["one weight", "a weight for each sample"])
@each_dtype
def test_e205_to_e213_flows_are_the_same_numbers(dtype, each, scale, flow):
    weight = np.linspace(-0.5, 1, 8, dtype=dtype).reshape(4, 2, 1) if each else 0.3
    plain, loops = (carried_and_sent_back(bk, flow, scale, weight) for bk in both(dtype))
    for name, numpy in plain.items():
        atol = 100 * np.finfo(dtype).eps * max(1.0, np.abs(numpy).max())
        np.testing.assert_allclose(loops[name], numpy, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("flow", FLOWS, ids=repr)
def test_e205_to_e213_the_loops_of_flows_are_used(flow, monkeypatch):
    for owner, name in ((BoundPlanar, "constrain"), (BoundRadial, "constrain")):
        monkeypatch.delattr(owner, name)
    monkeypatch.delattr(autoregressive, "sigmoid")
    carried_and_sent_back(both()[1], flow, 1.0, 0.3)  # without what NumPy's forms call


def with_gaps(a):
    """The same numbers with a gap after each, and a wider one after a row."""
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1] + 1), np.nan, a.dtype)
    wide[..., :-1:2] = a
    return wide[..., :-1:2]


def calls():
    """The equations that go over flat arrays: which arguments they write, and such arrays."""
    _, _, z, eps, _ = latent_arrays("float32", 2)
    y, dy, room, nll = np.tanh(z[0]), eps[0], np.zeros_like, np.zeros((3, 2), "f4")
    a, x = np.repeat(z, 3, axis=2), (np.repeat(z[:, :1], 3, axis=2) > 0).astype("f4")
    return [
        (tanh, (1,), (y, room(y))),
        (relu_grad, (2,), (y, dy, room(y), room(y))),
        (tanh_grad, (2,), (y, dy, room(y), room(y))),
        (bernoulli_nll, (2,), (a, x, nll, room(a), room(a))),
        (bernoulli_nll_and_grad, (2, 3), (a, x, nll, room(a), room(a), room(a))),
    ]


@pytest.mark.parametrize("call", range(5), ids=lambda i: calls()[i][0].__name__)
def test_a_loop_leaves_arrays_with_gaps_to_numpy(call, monkeypatch):
    from scratchvae.backend import compiled

    monkeypatch.setitem(compiled.CompiledBackend.fused_forms, "tanh", compiled.tanh)
    equation, outputs, given = calls()[call]
    for gap in (None, *range(len(given))):
        found = []
        for bk in both():
            args = [with_gaps(a) if i == gap else a.copy() for i, a in enumerate(given)]
            bk.compute(equation, *args)
            found.append([args[i] for i in outputs])
        for numpy, loops in zip(*found, strict=True):
            np.testing.assert_allclose(loops, numpy, rtol=0, atol=3e-6)


@pytest.mark.parametrize("call", range(5), ids=lambda i: calls()[i][0].__name__)
def test_a_loop_goes_over_arrays_as_they_come_in_a_step(call, monkeypatch):
    from scratchvae.backend import compiled

    equation, _, given = calls()[call]
    monkeypatch.setitem(compiled.CompiledBackend.fused_forms, "tanh", compiled.tanh)
    for numpys in ("relu_grad", "bernoulli_nll", "bernoulli_nll_and_grad"):
        monkeypatch.delattr(compiled.cpu_elementwise, numpys)
    assert both()[1].fused(equation)(both()[1], *given) is None  # and not NotImplemented


@pytest.mark.parametrize("samples", [1, 3])
def test_arrays_that_no_loop_can_read_are_left_to_numpy(samples):
    rng = np.random.default_rng(3)
    a = rng.normal(size=(4, samples, 10)).astype("f4")
    x = rng.random((4, samples, 10)).astype("f4")  # not one image for all samples of it
    for logits, pixels in ((a, x), (a, x[:1, :1]), (a[:, :, ::2], x[:, :1, ::2]), (a[0], x[0])):
        found = []
        for bk in both():
            nll = np.empty(logits.shape[:-1], "f4")
            da, tmp, tmp2 = (np.empty(logits.shape, "f4") for _ in range(3))
            bk.compute(bernoulli_nll_and_grad, logits, pixels, nll, da, tmp, tmp2)
            bk.compute(bernoulli_nll, logits, pixels, nll, tmp, tmp2)
            found.append((nll, da))
        for numpy, loops in zip(*found, strict=True):
            np.testing.assert_allclose(loops, numpy, rtol=1e-6, atol=1e-6)


def test_e18_e19_the_bernoulli_of_wide_rows_is_right_to_a_few_ulp():
    # 150 logits: two products of 64 factors, and a rest. Each image has its own two samples.
    rng = np.random.default_rng(6)
    a = (rng.normal(size=(3, 2, 150)) * 10).astype("f4")
    x = (rng.random((3, 1, 150)) < 0.5).astype("f4")
    nll, alone = np.empty((2, 3, 2), "f4")
    da, tmp, tmp2 = np.empty((3, *a.shape), "f4")
    bk, exact = both()[1], a.astype("f8")
    bk.compute(bernoulli_nll_and_grad, a, x, nll, da, tmp, tmp2)
    bk.compute(bernoulli_nll, a, x, alone, tmp, tmp2)
    np.testing.assert_allclose(nll, (np.logaddexp(0, exact) - x * exact).sum(axis=-1), rtol=3e-7)
    np.testing.assert_allclose(alone, nll, rtol=3e-7)
    np.testing.assert_allclose(da, expit(exact) - x, rtol=0, atol=2e-7)


def test_nan_and_infinite_logits_are_seen_in_the_value():
    bk = get_backend("cpu", compiled=True)
    for bad, x in ((np.nan, 0.0), (np.nan, 1.0), (np.inf, 0.0), (-np.inf, 1.0)):
        a, pixels = np.zeros((1, 1, 20), "f4"), np.full((1, 1, 20), x, "f4")
        a[0, 0, 13] = bad
        nll, (da, tmp, tmp2) = np.empty((1, 1), "f4"), (np.empty_like(a) for _ in range(3))
        with bk.ignore_float_errors():
            bk.compute(bernoulli_nll_and_grad, a, pixels, nll, da, tmp, tmp2)
        assert not np.isfinite(nll).any()


@each_dtype
@pytest.mark.parametrize("size", [1, 2, 7, 1000, 1001])
def test_e26_noise_is_that_of_numpy_to_a_few_ulp_wherever_it_begins(dtype, size):
    stream, noise = Stream(3, Purpose.LATENT, 5), []
    for bk in both(dtype):
        noise.append(bk.empty((size,)))
        bk.normal(noise[-1], stream, bk.noise_scratch(size))
    np.testing.assert_allclose(noise[1], noise[0], rtol=0, atol=6 * np.finfo(dtype).eps)
    longer = noise[1] * np.nan
    longer = np.empty(1002, dtype)
    bk.normal(longer, stream, bk.noise_scratch(1002))
    np.testing.assert_array_equal(longer[:size], noise[1])  # the length does not matter
    bk.normal(longer[4:], stream, bk.noise_scratch(998), 4)
    np.testing.assert_array_equal(longer[:size], noise[1])  # nor where it begins


def test_e26_the_noise_of_extreme_uniforms_is_exact():
    # u₁ of 0 gives a radius of 0, the largest one √(−2 log 2⁻⁵³); quarters of a turn are exact.
    from scratchvae.backend.loops import normal_loop

    u = np.array([0.0, 0.3, 1 - 2.0**-53, 0.0, 0.5, 0.25, 0.5, 0.5, 0.5, 0.75])
    out = np.empty(10)
    normal_loop(u, out)
    far, r = np.sqrt(2 * 53 * np.log(2)), np.sqrt(2 * np.log(2))
    np.testing.assert_allclose(out, [0, 0, far, 0, 0, r, -r, 0, 0, -r], rtol=4e-16, atol=4e-16)


@each_dtype
def test_a_batch_is_gathered_and_binarized_to_the_same_bits(dtype):
    images = np.random.default_rng(4).integers(0, 256, (50, 31), dtype=np.uint8)
    index, results = np.array([7, 0, 49]), []
    for bk in both(dtype):
        x, raw = bk.empty((3, 31)), bk.empty((3, 31), "uint8")
        bk.gather(images, index, 255, x, raw)
        grey = x.copy()
        bk.binarize(x, Stream(1, Purpose.BINARIZE, 2), bk.empty(x.shape), bk.noise_scratch(x.size))
        results.append((grey, x))
    for numpy, loops in zip(*results, strict=True):
        assert numpy.tobytes() == loops.tobytes()


def test_a_batch_of_grey_values_is_gathered_as_it_is():
    images = np.random.default_rng(5).random((6, 4)).astype("f4")
    x, raw = np.full((2, 4), np.nan, "f4"), np.full((2, 4), np.nan, "f4")
    both()[1].gather(images, np.array([5, 0]), None, x, raw)
    np.testing.assert_array_equal(x, images[[5, 0]])


TINY = TrainConfig(hidden=12, epochs=2, batch_size=100, seed=3)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_resumed_run_computes_as_it_began_whatever_the_setting_allows(tmp_path, compiled):
    class StopError(Exception):
        """After the first epoch."""

    def stop(epoch, model):
        if epoch == 1:
            raise StopError

    data, config = load_dataset("digits"), TINY
    whole = train(config, data, backend=get_backend("cpu", compiled=compiled))
    run = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    with pytest.raises(StopError):
        train(
            config, data, run=run, backend=get_backend("cpu", compiled=compiled), on_epoch=stop,
            checkpoint_every=1,
        )  # fmt: skip
    assert used_compiled(run.latest(lambda text: None).environment) is compiled
    rest = train(config, data, run=run, resume=True)
    assert rest.model.bk.compiled is compiled
    np.testing.assert_array_equal(rest.model.params.flat, whole.model.params.flat)


def test_a_numba_that_fails_is_one_sentence_and_numpy_computes(monkeypatch):
    def refuse(self, note):
        raise TypeError("this numba is broken\nand says much more")

    from scratchvae.backend.compiled import CompiledBackend

    monkeypatch.setattr(CompiledBackend, "compile", refuse)
    notes = []
    bk = get_backend("cpu", compiled=True, note=notes.append)
    assert type(bk) is NumpyBackend
    assert notes == [
        "numba cannot compile the loops, so NumPy computes without them: this numba is broken"
    ]


def test_without_numba_nothing_changes_and_nothing_is_said(monkeypatch):
    monkeypatch.setattr("scratchvae.backend.cpu.find_spec", lambda name: None)
    notes = []
    assert type(get_backend("cpu", compiled=True, note=notes.append)) is NumpyBackend
    assert notes == []


def use_every_loop(bk):
    """All that a training may ask of the loops, once."""
    kind = bk.dtype
    for rule in RULES:
        buffers = [np.zeros(8, kind) for _ in rule.moments]
        bk.fused(type(rule).update)(
            rule, bk, np.zeros(8, kind), np.zeros(8, kind), (*buffers, bk.update_scratch(8)), 0.1, 1
        )
    x, raw = bk.empty((3, 31)), bk.empty((3, 31), "uint8")
    bk.gather(np.zeros((5, 31), "u1"), np.array([1, 2, 4]), 255, x, raw)
    bk.binarize(x, Stream(1, Purpose.BINARIZE, 2), bk.empty(x.shape), bk.noise_scratch(x.size))
    bk.normal(x, Stream(1, Purpose.LATENT, 2), bk.noise_scratch(x.size))
    head, std, z, eps, _ = latent_arrays(kind, 2)
    kl, ratio, tmp = bk.zeros((3, 5)), bk.zeros((3, 2)), None
    bk.compute(gaussian.kl_per_unit, head, std, kl, tmp)
    bk.compute(gaussian.kl_grad, head, std, 0.5, head.copy(), tmp)
    bk.compute(gaussian.monte_carlo_kl, head, z, eps, kl, tmp)
    bk.compute(gaussian.log_ratio, head, z, eps, ratio, tmp)
    bk.compute(gaussian.reparameterize_grad, std, eps, z, head.copy(), tmp)
    for flow in FLOWS:
        carried_and_sent_back(bk, flow, 1.0, 0.3)
    for equation, _, given in calls() if kind == "float32" else ():
        bk.compute(equation, *given)


@each_dtype
def test_the_loops_are_compiled_for_just_what_a_training_hands_them(dtype, monkeypatch):
    from scratchvae.backend import compiled, loops

    monkeypatch.setitem(compiled.CompiledBackend.fused_forms, "tanh", compiled.tanh)
    seen, notes, counts = {}, [], iter([0, 1])

    def recorded(name, function):
        def record(*arguments):
            kinds = [(a.dtype, np.ndim(a)) if hasattr(a, "dtype") else type(a) for a in arguments]
            seen.setdefault(name, set()).add(tuple(kinds))
            return function(*arguments)

        return record

    for name, function in vars(loops).copy().items():
        if name.endswith("_loop"):
            monkeypatch.setattr(loops, name, recorded(name, function))
    bk = get_backend("cpu", dtype, compiled=True)
    seen.clear()
    monkeypatch.setattr(loops, "compilations", lambda: next(counts))
    bk.compile(notes.append)
    compiled_for, seen = seen, {}
    use_every_loop(bk)
    assert compiled_for == seen
    assert all(len(kinds) == 1 for kinds in seen.values())
    assert [note.partition(",")[0] for note in notes] == [
        "numba compiles the loops for this processor", "the loops are compiled"
    ]  # fmt: skip
    monkeypatch.setattr(loops, "compilations", lambda: 7)
    compiled_for = seen
    seen = {}
    bk.compile(notes.append)
    assert (list(seen), len(notes)) == (["adam_loop"], 2)  # they are found on disk


def ratio(a, b):
    return a / b


def test_a_loop_divides_as_numpy_does_and_is_kept_on_disk_where_possible(monkeypatch, tmp_path):
    from scratchvae.backend import loops

    monkeypatch.setattr(loops.numba.config, "CACHE_DIR", str(tmp_path))
    made, njit = loops.loop(ratio), loops.numba.njit
    assert (made(1.0, 0.0), bool(made.stats.cache_path)) == (np.inf, True)
    assert loops.LOOPS.pop() is made

    def refuse_to_keep(function, *, cache=False, **how):
        if cache:
            raise RuntimeError("no folder for it can be written to")
        return njit(function, **how)

    monkeypatch.setattr(loops.numba, "njit", refuse_to_keep)
    made = loops.loop(ratio)
    assert (made(1.0, 0.0), made.stats.cache_path) == (np.inf, None)
    assert loops.LOOPS.pop() is made


def test_numba_that_is_told_to_compile_nothing_leaves_loops_in_python():
    program = (
        "from scratchvae.backend import get_backend, loops;"
        "from scratchvae.backend.noise import Purpose, Stream;"
        "bk = get_backend('cpu', compiled=True, note=print);"
        "bk.normal(bk.empty((4,)), Stream(0, Purpose.LATENT, 1), bk.noise_scratch(4));"
        "print(bk.compiled, type(loops.normal_loop).__name__, loops.LOOPS)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True,
        env={"NUMBA_DISABLE_JIT": "1", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "True function []\n", done.stderr


def test_the_first_use_says_that_it_compiles_and_the_second_is_silent(tmp_path):
    program = (
        "from scratchvae import get_backend; get_backend('cpu', compiled=True, note=print);"
        "from scratchvae.backend.loops import LOOPS; print(*[x for x in LOOPS if not x.signatures])"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True,
            env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        ).stdout.splitlines()
        for _ in range(2)
    ]  # fmt: skip
    assert said[0][0] == "numba compiles the loops for this processor, once: about ten seconds"
    assert said[0][1].startswith("the loops are compiled, in ")
    assert said[0][2:] == [""]  # no loop is left to be compiled during a training
    assert len(said[1]) == 1
