"""The benchmarks' result files as tables in Markdown, for make_results.py."""

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scratchvae.studies.quadrants import PUBLISHED

Content = dict[str, Any]
MODELS = ("gluon", "tensorflow1", "flux", "pytorch", "iwae", "iwae50", "keras-conv")


def sections(folder: Path) -> list[str]:
    """Every benchmark of which there is a result file."""
    parts: list[str] = []
    for title, name, write in SECTIONS:
        path = folder / f"{name}.json"
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            parts += [f"## {title}", *write(content), about(content)]
    return parts


def all_studies(c: Content) -> list[str]:
    """One run of all studies: the verdicts, and how long training took."""
    rows = [
        [s["study"], s["verdict"], f"{s['seeds']}", f"{s['seconds']:.0f}"] for s in c["studies"]
    ]
    minutes = sum(s["seeds"] * s["seconds"] for s in c["studies"]) / 60
    first = c["studies"][0]
    return [
        table(["study", "verdict", "seeds", "seconds per seed"], rows),
        f"All seeds together: {minutes:.0f} minutes of training, evaluation after every epoch "
        f"included. {first['date']}, {versions(first['versions'])}.",
    ]


def step(c: Content) -> list[str]:
    """Milliseconds per step and ratios."""
    head = ["model", "batch", "scratchvae", "ms", "÷ PyTorch's best", "÷ torch.compile", "÷ JAX"]
    rows = []
    for name, r, which, how in each_own(c["rows"], "median_ms"):
        ratios, peak = r[f"ratio_{which}_to"], r["peak_memory_mb"]
        rows.append([
            f"{name} {r['model']}", str(r["batch"]), how, f"{r['median_ms'][which]:.2f}",
            *(number(ratios.get(key)) for key in ("best torch", "compile", "jax", "floor")),
            number(peak[which] / peak["torch"] if "torch" in peak else None),
        ])  # fmt: skip
    spreads = ", ".join(f"{name} {r['spread']['ours']:.0%}" for name, r in ordered(c["rows"]))
    return [
        table([*head, "÷ floor", "memory ÷ PyTorch's"], rows),
        f"Interquartile range of ours over its median: {spreads}.",
    ]


def optimizer(c: Content) -> list[str]:
    """Adam alone."""
    rows = []
    for name, r, which, how in each_own(c["rows"], "median_ms"):
        times, ratios = r["median_ms"], r.get(f"ratio_{which}_to", {})
        rows.append([
            name, f"{r['parameters']:,}", how, number(times[which], 3),
            number(times.get("torch"), 3), number(ratios.get("torch")),
        ])  # fmt: skip
    return [table(["model", "parameters", "scratchvae", "ms", "PyTorch's best, ms", "÷"], rows)]


def each_own(rows: Content, times: str) -> Iterator[tuple[str, Content, str, str]]:
    """Every model with NumPy alone, and with compiled loops where they were measured."""
    for name, r in ordered(rows):
        for which, how in (("ours", "NumPy"), ("compiled", "NumPy + compiled loops")):
            if which in r[times]:
                yield name, r, which, how


def late_steps(c: Content) -> list[str]:
    """An early step, a late step, and how many numbers are subnormal by then."""
    rows = []
    for name, r in ordered(c["rows"]):
        for when in ("early", "late"):
            subnormal = ", ".join(f"{k} {n:,}" for k, n in r["subnormal"][when].items())
            relative = r["ratio_late_to_early"] if when == "late" else None
            rows.append([name, f"{r['steps'][when]:,}", f"{r['median_ms'][when]:.2f}",
                         number(relative, 3), subnormal])  # fmt: skip
    return [table(["model", "step", "ms", "÷ early", "subnormal numbers among"], rows)]


def scaling(c: Content) -> list[str]:
    """Batch, width and data, one table each."""
    head = ["step, ms", "µs per image", "GFLOP/s", "peak MB", "MB of no file"]
    keys = ("step_ms", "image_us", "gflops", "peak_mb", "own_mb")
    digits = (2, 1, 0, 0, 0)
    return [
        table([what, *head], [
            [f"{int(size):,}", *(number(r[key], d) for key, d in zip(keys, digits, strict=True))]
            for size, r in rows.items()
        ])
        for what, rows in c["rows"].items()
    ]  # fmt: skip


def startup(c: Content) -> list[str]:
    """Imports."""
    rows = [
        [name, f"{r['median_ms']:.0f}", number(r["ratio_to_numpy"])]
        for name, r in c["rows"].items()
    ]
    return [table(["import", "ms", "÷ numpy"], rows)]


def evaluation(c: Content) -> list[str]:
    """The importance-sampled log p(x)."""
    head = ["model", "images", "samples", "scratchvae", "ms per image", "PyTorch, ms", "÷"]
    rows = []
    for name, r, own, how in each_own(c["rows"], "image_ms"):
        times, peaks = r["image_ms"], r["peak_mb"]
        rows.append([
            f"{name} {r['model']}", f"{r['images']:,}", f"{r['samples']:,}", how,
            *(number(times.get(which), 1) for which in (own, "torch")),
            number(r[f"ratio_{own}_to"].get("torch")),
            *(" → ".join(f"{mb:.0f}" for mb in peaks.get(which, {}).values())
              for which in (own, "torch")),
        ])  # fmt: skip
    return [
        table([*head, "MB", "MB PyTorch"], rows),
        "MB: the largest resident set after a tenth of the samples, and after all of them.",
    ]


def likelihoods(c: Content) -> list[str]:
    """Likelihoods of grey levels; nats per image."""
    keys = ("negative_elbo", "nll", "own_nll")
    rows = [
        [name, *(mean(r[key]) if key in r else "" for key in keys)] for name, r in c["rows"].items()
    ]
    seeds = max(len(r["nll"]["values"]) for r in c["rows"].values())
    s = c["settings"]
    return [
        table(["nats per image", "−ELBO", "−log p(x)", "by the model's own formula"], rows),
        f"{c['data']}, hidden layers {s['hidden']}, {s['latent_dim']} latent units, the best of at "
        f"most {s['epochs']} epochs on {s['validation']} held-out images; seeds: {seeds}. On "
        f"{c['images']:,} test images, −log p(x) by importance sampling with {c['samples']:,} "
        "samples per image. The first two columns are of probabilities of the pixels' levels and "
        "can be compared: a density is integrated over each level. `bernoulli` is trained with the "
        "cross-entropy of grey values, which is no density, and scored by the density that is "
        "proportional to it, the continuous Bernoulli at the same logits. The last column is of a "
        "probability for `categorical`, of a density, whose unit is another, for the next three, "
        "and of neither for `bernoulli`.",
    ]


def beta_sweep(c: Content) -> list[str]:
    """The sprites with a larger and larger β."""
    names = {
        "mig": "MIG", "total_correlation": "total correlation", "mutual_information": "I(x; z)",
        "dimensionwise_kl": "dimension-wise KL", "reconstruction": "−E log p(x given z)",
        "active_units": "active units",
    }  # fmt: skip
    rows = [[beta, *(mean(row[name]) for name in names)] for beta, row in c["rows"].items()]
    seeds = len(next(iter(c["rows"].values()))["mig"]["values"])
    settings = c["settings"]
    return [
        "Sprites of 16 × 16 pixels drawn from four factors (shape, size, x, y), all 576 "
        "combinations of them; "
        f"hidden layers {settings['hidden']}, {settings['latent_dim']} latent units, "
        f"{settings['epochs']} epochs, {seeds} seeds. The mutual information gap (MIG) and the "
        "parts of the KL are those of E254 and E250.",
        table(["β", *names.values()], rows),
    ]


def flows(c: Content) -> list[str]:
    """Posteriors with a flow."""
    names = "negative_elbo", "nll", "nll_by_half", "sample_error", "effective_samples"
    rows = []
    for name, seeds in c["rows"].items():
        of_seeds = [[r[key] for r in seeds.values()] for key in names]
        first = next(iter(seeds.values()))
        rows.append([
            name, f"{first['parameters']:,}", f"{len(seeds)}", *map(mean_of_seeds, of_seeds[:2]),
            *(number(sum(values) / len(values)) for values in of_seeds[2:4]),
            number(sum(of_seeds[4]) / len(seeds), 1),
        ])  # fmt: skip
    head = ["posterior", "parameters", "seeds", "−ELBO", "−log p(x)", "by half the samples",
            "error by the samples", "effective samples"]  # fmt: skip
    lacking = [name for name in ("gaussian", "planar", "iaf") if name not in c["rows"]]
    not_run = f" Not yet run: {', '.join(lacking)}." if lacking else ""
    return [
        table(head, rows),
        f"784-200-200-50 of the study `iwae` with one sample to the end of stage {c['stage']} of "
        f"its 8 ({first['passes']} passes), all with one head; `planar` has 40 maps, `iaf` 4. Nats "
        f"per image of the first {c['images']:,} test images: {first['protocol']}. The ± is the "
        f"standard deviation over the seeds. For one seed the standard error over these images, "
        f"which all rows share, is {number(first['standard_error'])}.{not_run}",
    ]


def steps_and_floors(c: Content) -> list[str]:
    """What training steps cost, beside their floors."""
    rows = [
        [name, f"{r['parameters']:,}", number(r["step_ms"]), number(r["floor_ms"]),
         number(r["ratio"]), f"{r['spread']:.0%}"]
        for name, r in c["rows"].items()
    ]  # fmt: skip
    return [
        table(["step", "parameters", "ms", "floor, ms", "÷ floor", "spread"], rows),
        f"Batch {c['batch']}, one thread. The floor is the step's own matrix products and one pass "
        "over p, g, m, v.",
    ]


def semi_supervised(c: Content) -> list[str]:
    """Accuracy with few labels: M2 on codes of M1, and the classifier alone."""
    names = {
        "accuracy": "M1 + M2",
        "alone_on_codes": "the classifier alone, of codes",
        "alone_on_pixels": "of pixels",
    }
    rows = [
        [count, f"{len(c['draws'][count])}", *(mean(found[name], 3) for name in names)]
        for count, found in c["rows"].items()
    ]
    return [
        table(["labels", "draws of them", *names.values()], rows),
        f"The share of MNIST's test images that are given their own label, after "
        f"{c['settings']['epochs']} epochs, ± the standard error over the draws. M1 sees no label; "
        "the settings of M2 were chosen on training images that it did not learn from. Published "
        "(Kingma et al. 2014, table 1) for 100 and 1,000 labels: M1 + M2 0.967 and 0.976, a "
        "network of the labelled images alone 0.742 and 0.893.",
    ]


def conditional(c: Content) -> list[str]:
    """The network that completes quadrants without a z."""
    rows = [
        [seen, f"{PUBLISHED[int(seen)][1]}", mean(found), f"{len(found['values'])}"]
        for seen, found in c["rows"].items()
    ]
    return [
        table(["quadrants seen", "published", "ours", "seeds"], rows),
        f"The network 500-500 alone, without a z, {c['epochs']} epochs: −log p of the hidden "
        "pixels, grey, in nats per image, which the studies `quadrants-1`, `-2` and `-3` have with "
        "a z.",
    ]


def program_bugs(c: Content) -> list[str]:
    """Bugs planted in the code around the gradients, by area."""
    rows = [
        [r["bugs"], r["found"], len(r["explained"]), len(r["not_found"]), round(r["seconds"])]
        for r in c["rows"].values()
    ]
    total = [sum(column) for column in zip(*rows, strict=True)]
    return [
        "A bug changes one expression or statement; it is found when a test of its area fails. "
        "Explained are changes that cannot change a result, each with its reason in "
        "[`equivalent.py`](../scratchvae/selfcheck/mutation/equivalent.py).",
        table(
            ["area", "bugs", "found", "explained", "not found", "seconds"],
            [
                [name, *(f"{number:,}" for number in row)]
                for name, row in zip([*c["rows"], "all"], [*rows, total], strict=True)
            ],
        ),
    ]


def ranks_killed(c: Content) -> list[str]:
    """Jobs of MPI that lose a rank."""
    counts = [f"{c[name]} of {c['kills']}" for name in ("soon", "told", "gone", "same_bits")]
    head = ["ended within 10 s", "said which rank", "left no process", "resumed to the same bits",
            "longest, s"]  # fmt: skip
    return [
        f"{c['kills']} trainings by two or three ranks, of which one is killed at a random moment; "
        "each is then resumed by another number of ranks.",
        table(head, [[*counts, f"{c['longest_seconds']:.1f}"]]),
    ]


def checkers(c: Content) -> list[str]:
    """Gradient checkers on bugs and on right functions."""
    rows = [
        [name, f"{r['bugs_found']} of {c['bugs']}", f"{r['false_alarms']} of {c['right']}",
         str(r["not_checked"]), f"{r['random_found']} of {c['random_changed']}",
         f"{r['random_blamed']} of {c['random']}"]
        for name, r in c["rows"].items()
    ]  # fmt: skip
    return [
        f"{c['bugs']} bugs from public reports, each rewritten in NumPy with its source in "
        "[`bugs.py`](../benchmarks/gradients/bugs.py), and "
        f"{c['right']} right gradients that are hard to check "
        "([`right.py`](../benchmarks/gradients/right.py)). Every checker has the settings of its "
        "makers. Not checked: refused, left open, or too large for it. `pytest-torch` calls "
        "`torch.autograd.gradcheck`. These cases were chosen, and scratchvae was mended with them "
        "in view; the last two columns are of random functions with gradients by autograd "
        "([`random_functions.py`](../benchmarks/gradients/random_functions.py)), and of the same "
        "with one element changed by a thousandth of itself.",
        table(
            [
                "checker",
                "bugs found",
                "right ones blamed",
                "not checked",
                "changed ones found",
                "random ones blamed",
            ],
            rows,
        ),
    ]


SECTIONS: tuple[tuple[str, str, Callable[[Content], list[str]]], ...] = (
    ("All studies in one run", "all", all_studies),
    ("Likelihoods of grey levels", "likelihoods", likelihoods),
    ("Likelihoods of grey levels, MNIST", "likelihoods_mnist", likelihoods),
    ("What β buys and costs", "beta_sweep", beta_sweep),
    ("A flow as posterior", "flows", flows),
    ("A step with a flow, 784-200-200-50, compiled loops", "flow_steps", steps_and_floors),
    ("Hidden quadrants without a z", "conditional", conditional),
    ("A conditional step", "conditional_steps", steps_and_floors),
    ("Few labels", "semi_supervised", semi_supervised),
    ("The training step", "step", step),
    ("The training step, all libraries kept to AVX2", "step_avx2", step),
    ("Adam alone", "optimizer", optimizer),
    ("Late steps", "late_steps", late_steps),
    ("Batch, width and data", "scaling", scaling),
    ("log p(x) by importance sampling", "evaluation", evaluation),
    ("Import", "startup", startup),
    ("Gradient checkers", "checkers", checkers),
    ("Bugs planted in the code around the gradients", "program_bugs", program_bugs),
    ("Ranks killed", "mpi_kills", ranks_killed),
)


# ---- cells -----------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def ordered(rows: dict[str, Any]) -> list[tuple[str, Any]]:
    """The rows in the order of the models."""
    return [(name, rows[name]) for name in MODELS if name in rows]


def number(value: float | None, digits: int = 2) -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def mean_of_seeds(values: Sequence[float]) -> str:
    """The mean, and the standard deviation where there are several."""
    if len(values) == 1:
        return number(values[0])
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def mean(found: dict[str, Any], digits: int = 2) -> str:
    """A mean with its standard error, where there is one."""
    error = found["standard_error"]
    return number(found["mean"], digits) + ("" if error is None else f" ± {number(error, digits)}")


def versions(found: dict[str, str]) -> str:
    """In words."""
    return ", ".join(f"{name} {version}" for name, version in found.items())


def about(c: Content) -> str:
    """What a table was obtained with, as far as the file says."""
    words = []
    if "rounds" in c:
        words.append(f"Medians of {c['rounds']} rounds in turn")
    if "cpu" in c:
        words.append(f"{c['threads']} threads on {c['cores']} cores, {c['cpu']}")
    if isinstance(c.get("images"), str):
        words.append(f"images: {c['images']}")
    if c.get("load_before") is not None:
        words.append(f"load before the run {c['load_before']:.1f}")
    if "command" in c:
        words.append(f"`{c['command']}`")
    if "date" in c:
        words.append(c["date"][:10])
    found = dict(c.get("versions", {}))
    for r in c["rows"].values() if "rows" in c else ():
        for contender in r.get("contenders", {}).values():
            found |= contender["versions"]
    if found:
        words.append(versions(found))
    return f"{'; '.join(words)}." if words else ""
