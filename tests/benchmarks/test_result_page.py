"""The page of results: every file that exists becomes a section, and nothing else does."""

import json
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def make_results(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    import make_results

    return make_results


MACHINE = {
    "command": "python -m benchmarks.something", "date": "2026-01-02T03:04:05+00:00",
    "cpu": "a processor", "cores": 2, "threads": 2, "load_before": 0.25,
    "versions": {"numpy": "2.0"}, "rounds": 7,
}  # fmt: skip
STUDY = {
    "study": "gluon", "verdict": "meets the figure", "rows": [
        {"metric": "test_loss", "epoch": 3, "published": 9.5, "in_tutorial_units": 9.25,
         "mean": 9.75, "standard_error": 0.125},
    ],
    "published_seconds": None, "seconds": 90.0, "epochs": 3, "seeds": 2,
    "notes": ["one note", "another note"], "protocol": "grey pixels",
    "train_protocol": "analytic KL", "command": "scratchvae reproduce gluon",
    "date": "2026-01-02", "versions": {"numpy": "2.0"},
}  # fmt: skip
STEP = {
    "model": "784-2 relu", "batch": 100, "median_ms": {"ours": 3.0, "compiled": 2.5},
    "spread": {"ours": 0.04},
    "peak_memory_mb": {"ours": 50.0, "compiled": 75.0, "torch": 250.0},
    "ratio_compiled_to": {"best torch": 0.59, "jax": 1.09, "floor": 1.01},
    "ratio_ours_to": {"best torch": 0.71, "compile": 0.72, "jax": 1.31, "floor": 1.21},
    "contenders": {"torch": {"versions": {"torch": "2.13.0"}}},
}  # fmt: skip
SIZE = {"step_ms": 3.25, "image_us": 32.5, "gflops": 150.2, "peak_mb": 60.1, "own_mb": 50.2}
SCORE = {
    "parameters": 12345, "negative_elbo": 99.5, "nll": 98.25, "nll_by_half": 98.75,
    "standard_error": 0.5, "sample_error": 0.0625, "effective_samples": 3.25, "passes": 4,
    "protocol": "drawn",
}  # fmt: skip
FILES = {
    "study_gluon": STUDY,
    "all": {"studies": [STUDY, STUDY | {"study": "flux", "seconds": 30.0}]},
    "step": MACHINE | {"rows": {"gluon": STEP, "iwae50": STEP, "keras-conv": STEP}},
    "step_avx2": MACHINE | {"isa": "avx2", "rows": {"gluon": STEP}},
    "optimizer": MACHINE | {"rows": {
        "gluon": {"parameters": 951988, "median_ms": {"ours": 0.5, "torch": 0.625},
                  "ratio_ours_to": {"torch": 0.8}},
        "pytorch": {"parameters": 10, "median_ms": {"ours": 0.5}},
    }},
    "late_steps": MACHINE | {"rows": {"gluon": {
        "steps": {"early": 100, "late": 20000}, "median_ms": {"early": 3.0, "late": 3.03},
        "ratio_late_to_early": 1.01, "subnormal": {"early": {"p": 0}, "late": {"p": 7}},
    }}},
    "scaling": MACHINE | {"rows": {"batch": {"20": SIZE}, "images": {"60000": SIZE}}},
    "startup": MACHINE | {"rows": {"scratchvae": {"median_ms": 80.4, "ratio_to_numpy": 1.05}}},
    "evaluation": MACHINE | {"rows": {"iwae": {
        "model": "784-50 tanh", "images": 200, "samples": 5000, "image_ms": {"ours": 61.25},
        "ratio_ours_to": {}, "peak_mb": {"ours": {"500": 90.0, "5000": 91.0}},
    }}},
    "checkers": {"command": "c", "date": "2026-01-02", "versions": {}, "bugs": 38, "right": 54,
        "random": 200, "random_changed": 190, "rows": {"ours": {
            "bugs_found": 38, "false_alarms": 0, "not_checked": 2, "random_found": 189,
            "random_blamed": 1,
        }}},
    "flows": {"command": "c", "date": "2026-01-02", "versions": {}, "stage": 2, "images": 1000,
        "samples": 50, "rows": {"gaussian": {
            "0": SCORE, "1": SCORE | {"negative_elbo": 100.5, "effective_samples": 4.25},
        }}},
    "flow_steps": {"command": "c", "date": "2026-01-02", "versions": {}, "batch": 100, "rows": {
        "iaf": {"parameters": 12345, "step_ms": 3.0, "floor_ms": 2.4, "ratio": 1.25,
                "spread": 0.04},
    }},
    "conditional_steps": {"command": "c", "date": "2026-01-02", "versions": {}, "batch": 100,
        "rows": {"label; NumPy alone": {"parameters": 1234, "step_ms": 2.8, "floor_ms": 2.0,
                                        "ratio": 1.4, "spread": 0.04}}},
    "program_bugs": {"command": "c", "date": "2026-01-02", "versions": {}, "rows": {
        "noise": {"bugs": 234, "found": 231, "explained": {"a": "why", "b": "why"},
                  "not_found": ["c"], "seconds": 9.6},
        "model": {"bugs": 800, "found": 800, "explained": {}, "not_found": [], "seconds": 60.2},
    }},
    "mpi_kills": {"command": "c", "date": "2026-01-02", "versions": {}, "kills": 20, "soon": 20,
        "told": 19, "gone": 18, "same_bits": 17, "longest_seconds": 0.75},
    "likelihoods": {"command": "c", "date": "2026-01-02", "versions": {}, "settings": {
        "hidden": [200], "latent_dim": 8, "epochs": 30, "validation": 100,
    }, "data": "digits", "images": 1000, "samples": 50, "rows": {
        "histogram": {"nll": {"mean": 130.5, "standard_error": None, "values": [130.5]}},
        "categorical": {"nll": {"mean": 98.5, "standard_error": 0.25, "values": []},
                        "negative_elbo": {"mean": 99.5, "standard_error": 0.5, "values": []},
                        "own_nll": {"mean": -3.5, "standard_error": 0.5, "values": []}},
    }},
}  # fmt: skip
NUMBER = {"mean": 0.25, "standard_error": 0.125, "values": [0.125, 0.375]}
FILES["beta_sweep"] = {"command": "c", "date": "2026-01-02", "versions": {}, "settings": {
    "hidden": [128, 128], "latent_dim": 6, "epochs": 1000,
}, "rows": {"4": dict.fromkeys(
    ("mig", "total_correlation", "mutual_information", "dimensionwise_kl", "reconstruction",
     "active_units"), NUMBER,
)}}  # fmt: skip
FILES["study_iwae"] = {"rows": [
    {"run": "vae-k1-seed0", "stage": 6, "passes": 364, "test_nll": 86.754, "standard_error": 0.125,
     "half_nll": 86.844, "train_nll_few": 86.5, "test_nll_few": 87.125, "cut_nll": 86.774,
     "spread_over_draws": 0.031, "active_units": 19, "training_seconds": 660.0,
     "command": "scratchvae reproduce iwae --k 1", "date": "2026-01-02T03:04:05+00:00",
     "machine": {"processor": "a processor"}, "versions": {"numpy": "2.0"}, "commit": 40 * "a",
     "protocol": "importance sampling", "k": 1, "seed": 0, "point": ""},
]}  # fmt: skip
FILES["study_iwae"]["rows"].append(
    FILES["study_iwae"]["rows"][0] | {"run": "shuffled-seed0", "point": "shuffled", "test_nll": 87}
)
EXPECTED = {
    "beta_sweep": ["1000 epochs, 2 seeds.", "| 4 |" + 6 * " 0.25 ± 0.12 |"],
    "study_iwae": [
        "| vae-k1-seed0 | 6 | 364 | 86.75 ± 0.12 | +0.09 | -0.62 | +0.020 | 0.031 | 19 | 11 |",
        "after 3280 passes VAE with k = 1 86.76, ", "commit aaaaaaaaaaaa: importance sampling.",
        "| the images are shuffled | 6 | 1 | 87.00 | +0.25 |",
    ],
    "checkers": [
        "38 bugs from public reports",
        "| ours | 38 of 38 | 0 of 54 | 2 | 189 of 190 | 1 of 200 |",
    ],
    "program_bugs": ["| noise | 234 | 231 | 2 | 1 | 10 |", "| all | 1,034 | 1,031 | 2 | 1 | 70 |"],
    "mpi_kills": ["| 20 of 20 | 19 of 20 | 18 of 20 | 17 of 20 | 0.8 |"],
    "flows": [
        "| gaussian | 12,345 | 2 | 100.00 ± 0.71 | 98.25 ± 0.00 | 98.75 | 0.06 | 3.8 |",
        "stage 2 of its 8 (4 passes)", "images, which all rows share, is 0.50.",
        "Not yet run: planar, iaf.",
    ],
    "flow_steps": ["| iaf | 12,345 | 3.00 | 2.40 | 1.25 | 4% |"],
    "conditional_steps": ["| label; NumPy alone | 1,234 | 2.80 | 2.00 | 1.40 | 4% |"],
    "study_gluon": [
        "### gluon", "Meets the figure.", "One note.", "Another note.",
        "| test loss, epoch 3 | 9.50 | 9.25 ± 0.12 | 9.75 ± 0.12 |",
    ],
    "all": ["| flux | meets the figure | 2 | 30 |", "4 minutes of training"],
    "step": [
        "| iwae50 784-2 relu | 100 | NumPy | 3.00 | 0.71 | 0.72 | 1.31 | 1.21 | 0.20 |",
        "| 100 | NumPy + compiled loops | 2.50 | 0.59 |  | 1.09 | 1.01 | 0.30 |",
        "| keras-conv 784-2 relu |", "gluon 4%", "numpy 2.0, torch 2.13.0",
    ],
    "step_avx2": ["all libraries kept to AVX2", "| gluon 784-2 relu | 100 | NumPy | 3.00 |"],
    "optimizer": [
        "| gluon | 951,988 | NumPy | 0.500 | 0.625 | 0.80 |",
        "| pytorch | 10 | NumPy | 0.500 |  |  |",
    ],
    "late_steps": ["| gluon | 20,000 | 3.03 | 1.010 | p 7 |", "| gluon | 100 | 3.00 |  | p 0 |"],
    "scaling": ["| images | step, ms |", "| 60,000 | 3.25 | 32.5 | 150 | 60 | 50 |"],
    "startup": ["| scratchvae | 80 | 1.05 |"],
    "evaluation": ["| iwae 784-50 tanh | 200 | 5,000 | NumPy | 61.2 |  |  | 90 → 91 |  |"],
    "likelihoods": [
        "| histogram |  | 130.50 |  |",
        "| categorical | 99.50 ± 0.50 | 98.50 ± 0.25 | -3.50 ± 0.50 |",
        "importance sampling with 50 samples per image",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_becomes_a_section(name, tmp_path, make_results):
    empty = make_results.page(tmp_path)
    (tmp_path / f"{name}.json").write_text(json.dumps(FILES[name]), encoding="utf-8")
    page = make_results.page(tmp_path)
    for text in EXPECTED[name]:
        assert text in page
        assert text not in empty
    if "cpu" in FILES[name]:
        assert "Medians of 7 rounds" in page
        assert "2 threads on 2 cores, a processor; load before the run 0.2" in page


def test_the_page_of_many_ranks_is_that_of_its_result_file(make_results):
    import make_scaling

    assert make_scaling.is_current(), f"docs/scaling.md is out of date; run: {make_scaling.COMMAND}"


def test_the_page_is_that_of_the_result_files(make_results):
    page = make_results.page(DOCS.parent / "benchmarks" / "results")
    assert (DOCS / "results.md").read_text(encoding="utf-8") == page
