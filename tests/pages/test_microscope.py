"""The numbers of a step under the microscope are those of the code that trains."""

from pathlib import Path

import numpy as np
import pytest
from page_helpers import Run, content_of, numbers

from scratchvae import reference
from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import ConfigError, RunError
from scratchvae.layers import Dense
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.pages.explain import SCRIPTS, write_explanation
from scratchvae.pages.microscope import examine, small_specimen, specimen_of_run
from scratchvae.pages.single_file import equations_for
from scratchvae.training.nonfinite.trace import StepTrace


@pytest.fixture(scope="module")
def made():
    return examine(small_specimen())[0]


@pytest.fixture(scope="module")
def of_run(small: Run):
    return examine(specimen_of_run("run", small.model, small.checkpoint, small.prepared, 7))[0]


def test_the_page_holds_what_a_trace_of_the_same_step_records(of_run, small: Run, monkeypatch):
    """Every array, bit for bit, as it stands right after it was computed."""
    seen = {}

    def record(self, name, a, place, equations=(), key="", code=None):
        seen[key] = self.bk.to_host(a).copy()

    monkeypatch.setattr(StepTrace, "record", record)
    model = small.model.to(get_backend("cpu", "float64"))
    grads = FlatBuffer(model.bk, model.vae.layout)
    bound = model.vae.bind(Workspace(model.bk, 1), model.params, grads)
    bound.x[...] = small.prepared.train.values([7])
    bound.eps[...] = normal((1, 1, 2), Stream(0, Purpose.LATENT, small.checkpoint.step + 1))
    trace = StepTrace(model.bk)
    trace.inputs(bound, model.params)
    trace.gradient(bound, 1.0, 1.0)
    assert len(seen) > 25
    assert set(seen) <= set(of_run["arrays"])
    for key, a in seen.items():
        np.testing.assert_array_equal(numbers(of_run["arrays"][key]), a, err_msg=key)


def test_the_update_is_the_next_one_of_the_run(of_run, small: Run):
    """E24 by hand, from the moments of the checkpoint."""
    t, arrays = small.checkpoint.step + 1, of_run["arrays"]
    for name, p in small.checkpoint.buffers["params"].items():
        m, v = (small.checkpoint.buffers[f"adam.{k}"][name].astype(float) for k in "mv")
        g = numbers(arrays[f"grad.{name}"])
        m, v = 0.9 * m * 0.1 + 0.1 * g, 0.999 * v * 0.001 + 0.001 * g * g
        step = 1e-3 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(numbers(arrays[f"after.{name}"]), p - step, rtol=0, atol=1e-12)


def test_e28_the_complex_step_beside_every_gradient_is_that_gradient(made, of_run):
    for content in (made, of_run):
        gradients = {k for k in content["arrays"] if k.startswith("grad.") or k.endswith(".dx")}
        assert set(content["checks"]) == gradients | {"dlogits", "dhead"}
        for key, check in content["checks"].items():
            g = numbers(content["arrays"][key]).ravel()
            np.testing.assert_allclose(check["values"], g[check["elements"]], rtol=0, atol=1e-13)
            assert check["difference"] < 1e-13


def test_the_complex_step_sees_a_wrong_gradient(monkeypatch):
    """It is computed from the loss alone: with a planted bug the difference is there."""
    right = Dense.grad_params

    def doubled(self, bk, x, dy, g, rows=slice(None)):
        right(self, bk, x, dy, g, rows)
        g.b *= 2

    monkeypatch.setattr(Dense, "grad_params", doubled)
    checks = examine(small_specimen())[0]["checks"]
    assert checks["grad.decoder.0.b"]["difference"] > 1e-3
    assert checks["grad.decoder.0.W"]["difference"] < 1e-13


def test_a_step_of_relu_is_that_of_the_reference(train):
    """An oracle that shares no code with the page: the whole gradient in forty plain lines."""
    run = train("--hidden 8 --activation relu")
    content = examine(specimen_of_run("run", run.model, run.checkpoint, run.prepared))[0]
    arrays = {k: numbers(a) for k, a in content["arrays"].items()}
    networks = [
        [(arrays[f"{part}.{i}.W"], arrays[f"{part}.{i}.b"]) for i in (0, 2)]
        for part in ("encoder", "decoder")
    ]
    vae = reference.VAE(*networks)
    loss, _, _, gradient = reference.loss_and_gradient(vae, arrays["x"], arrays["eps"][:, 0])
    assert arrays["objective"] == pytest.approx(loss, rel=1e-14)
    for name, g in zip(run.model.vae.layout.shapes, gradient.arrays(), strict=True):
        np.testing.assert_allclose(arrays[f"grad.{name}"], g, rtol=0, atol=1e-13)


def test_e221_a_step_given_the_label_is_that_of_the_reference_with_the_label_behind_x_and_z(train):
    """The plain reference on [x | c] and [z | c], from which only x is reconstructed."""
    run = train("--hidden 8 --activation tanh --condition label:10")
    specimen = specimen_of_run("run", run.model, run.checkpoint, run.prepared, 13)
    content, code = examine(specimen)
    arrays = {k: numbers(a) for k, a in content["arrays"].items()}
    c = np.eye(10)[[13 % 10]]
    np.testing.assert_array_equal(arrays["row"], np.hstack([arrays["x"], c]))
    np.testing.assert_array_equal(arrays["code"].reshape(1, -1), np.hstack([arrays["z"][0], c]))
    e0, d0 = (np.hstack([arrays[k].reshape(1, -1), np.ones((1, 1))]) for k in ("row", "code"))
    for part, row in (("encoder", e0), ("decoder", d0)):
        W, b, V, d = (arrays[f"{part}.{i}.{p}"] for i in (0, 2) for p in ("W", "b"))
        y = np.tanh(row @ np.vstack([W, b])) @ V + d
        np.testing.assert_allclose(arrays[f"{part}.2.y"], y, rtol=1e-13)
    a, x = arrays["decoder.2.y"], arrays["x"]
    nll = (np.logaddexp(0, a) - x * a).sum()
    assert arrays["objective"] == pytest.approx(nll + arrays["kl"].sum(), rel=1e-13)
    gradients = {k for k in arrays if k.startswith("grad.") or k.endswith(".dx")}
    assert set(content["checks"]) == gradients | {"dlogits", "dhead"}
    assert max(check["difference"] for check in content["checks"].values()) < 1e-13
    (step,) = (s for s in content["steps"] if "code" in s["shows"])
    assert (step["phase"], step["uses"]) == ("Forward", ["z", "row"])
    assert step["equations"] == ["E221"]
    assert "BoundConditionalVAE.make_code" in code


@pytest.mark.parametrize(
    ("options", "network"),
    [("--condition label:10 --prior conditional", "prior"),
     ("--condition some-labels:10 --labels 20", "classifier")],
)  # fmt: skip
def test_a_step_of_a_network_more_is_refused_with_what_to_use_instead(
    train, tmp_path, options: str, network: str
):
    run = train(f"--hidden 8 {options}")
    words = rf"a network more \({network}\): explain a run with .* or walk .* scratchvae explore"
    with pytest.raises(ConfigError, match=words):
        write_explanation(tmp_path / "a.html", "run", run.model, run.checkpoint, run.prepared)
    assert list(tmp_path.iterdir()) == []


def test_every_step_has_an_equation_and_the_code_that_states_it(made):
    for step in made["steps"][1:]:
        assert step["equations"], step["title"]
        assert step["code"], step["title"]
    assert [s["phase"] for s in made["steps"]] == sorted(
        (s["phase"] for s in made["steps"]),
        key=["Input", "Forward", "Loss", "Backward", "Update"].index,
    )


def test_large_arrays_are_rounded_in_pictures_and_their_checks_are_not(small: Run, monkeypatch):
    monkeypatch.setattr("scratchvae.pages.microscope.LARGE", 20)
    content = examine(specimen_of_run("run", small.model, small.checkpoint, small.prepared))[0]
    exact, rounded = content["checks"]["grad.decoder.2.W"], content["arrays"]["grad.decoder.2.W"]
    assert rounded["dtype"] == "float16"
    assert exact["difference"] < 1e-13
    g = numbers(rounded).ravel()[exact["elements"]]
    assert np.abs(g - exact["gradient"]).max() < np.abs(exact["gradient"]).max() / 1024
    assert content["arrays"]["decoder.2.W"]["dtype"] == "float32"
    np.testing.assert_array_equal(
        numbers(content["arrays"]["decoder.2.W"]), small.model.params["decoder.2.W"]
    )


def page_of(run: Run, path: Path) -> str:
    write_explanation(path, "a </script> run", run.model, run.checkpoint, run.prepared)
    return path.read_text(encoding="utf-8")


def test_the_page_is_one_file_that_asks_for_nothing_else(small: Run, tmp_path):
    text = page_of(small, tmp_path / "page.html")
    for asks in ("src=", "@import", "url(", "fetch(", "http:", "https:", "XMLHttp", "import("):
        assert asks not in text, asks
    scripts = 1 + len(SCRIPTS)  # the first is the data: no text in it ends it early
    assert text.count("</script>") == scripts == 5


def test_every_link_of_the_page_leads_to_a_file_with_that_line_or_section(small: Run, tmp_path):
    page_of(small, tmp_path / "page.html")
    content = content_of(tmp_path / "page.html")
    derivations = None
    for about in content["equations"].values():
        file, _, anchor = about["href"].partition("#")
        derivations = (tmp_path / file).resolve().read_text(encoding="utf-8").lower()
        assert anchor.replace("-", " ").split()[0] in derivations
    for source in content["code"].values():
        file, _, line = source["href"].partition("#L")
        lines = (tmp_path / file).resolve().read_text(encoding="utf-8").splitlines()
        assert lines[int(line) - 1].strip() in source["text"]


def test_a_label_that_no_derivation_has_is_left_out(tmp_path):
    """The docstring of a layer of one's own may say (E9999)."""
    assert list(equations_for(["E9999", "E16", "E3"], tmp_path / "page.html")) == ["E3", "E16"]


def test_a_file_that_is_there_is_not_overwritten(small: Run, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        page_of(small, path)
    assert path.read_text() == "mine"


def test_an_image_that_is_not_there_is_refused(small: Run):
    with pytest.raises(ConfigError, match="numbered 0 to 26"):
        specimen_of_run("run", small.model, small.checkpoint, small.prepared, 27)


@pytest.mark.parametrize(
    "options",
    [
        "--estimator iwae --samples 3 --hidden 8",
        "--likelihood gaussian-learned --hidden 8",
        "--likelihood categorical --binarize threshold --hidden 8",
        "--encoder 'reshape 3 4 1' 'conv 2 3' flatten --decoder 'dense 12'",
    ],
)
def test_a_step_that_the_page_cannot_repeat_says_so_and_shows_its_numbers(train, options):
    run = train(options)
    content = examine(specimen_of_run("run", run.model, run.checkpoint, run.prepared))[0]
    assert content["notLive"]
    for check in content["checks"].values():
        assert check["difference"] < 1e-12
    assert len(content["steps"]) > 10
