"""Find the bug: small VAEs with one bug each, of kinds that public repositories really had.

Each is reference.py with one line changed, and still trains. What the loss shows of such a bug,
often nothing, was measured by benchmarks/bug_losses.py.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scratchvae.errors import ConfigError, did_you_mean
from scratchvae.exercises.folder import write_new
from scratchvae.exercises.report import GradeReport, Outcome
from scratchvae.exercises.source import module_source

GITHUB = "https://github.com/"
ANSWERS = "answers.csv"
LOSSES = Path(__file__).with_name("bug_losses.json")


@dataclass(frozen=True)
class Bug:
    """``right`` stands once in reference.py; ``wrong`` takes its place.

    ``labels``: the equations that count as an answer; ``what``: what is wrong, and how it shows;
    ``source``: where it was reported, below GITHUB.
    """

    right: str
    wrong: str
    labels: tuple[str, ...]
    what: str
    source: str

    @property
    def address(self) -> str:
        """The thread in which a bug of this kind was reported."""
        return GITHUB + self.source

    def text(self, body: str) -> str:
        """reference.py's code with the bug in it."""
        assert body.count(self.right) == 1, self.right
        return body.replace(self.right, self.wrong)


W = "w = 1 / len(x)"
NOISE = "rng.standard_normal((len(x), latent))"
KL = "kl = (mu**2 + sigma**2 - 1 - logvar).sum(axis=1) / 2"
DKL = "dmu + w * beta * mu, dlogvar + w * beta * (sigma**2 - 1) / 2"
DB = "dW, db = x.T @ dy, dy.sum(axis=0)"
STEP = "p -= lr * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPS)"

BUGS: tuple[Bug, ...] = (
    Bug(
        "sigma = np.exp(logvar / 2)", "sigma = np.exp(logvar)", ("E12",),
        "e^logvar is the variance. As a standard deviation it makes the noise too large or too "
        "small. The KL, computed with the same σ, is wrong as well.",
        "rachtsingh/ibp_vae/issues/3",
    ),
    Bug(
        DB, "dW, db = x.T @ dy, np.full(dy.shape[1], dy.sum())", ("E5",),
        "The gradient of the biases is summed over the outputs as well: one number for "
        "all of them.",
        "rasbt/stat453-deep-learning-ss21/issues/5",
    ),
    Bug(
        KL, KL.replace("sum", "mean"), ("E16",),
        "The KL of an image is a sum over its latent units; a mean divides it by their number. The "
        "loss that is reported is too low, and no bound of log p(x) any more.",
        "keras-team/keras-io/issues/270",
    ),
    Bug(
        STEP, STEP.replace("**t", ""), ("E24",),
        "The corrections of the bias do not depend on the step: right for t = 1, and later a wrong "
        "learning rate.",
        "eriklindernoren/ML-From-Scratch/issues/35",
    ),
    Bug(
        NOISE, "rng.random((len(x), latent))", ("E12",),
        "The noise is uniform between 0 and 1, not normal: its mean is ½, and no z is ever drawn "
        "from below μ.",
        "dferendo/RecommendationSystem/issues/3",
    ),
    Bug(
        "np.where(x > 0, dx, 0)", "np.where(x > 0, 1, 0)", ("E11",),
        "The ReLU hands down its own slope, 1 or 0, instead of that times what came from above: "
        "the chain rule's product is missing.",
        "haifengl/smile/issues/528",
    ),
    Bug(
        DKL, DKL.replace("(sigma**2 - 1) / 2", "(sigma**2 / 2 - 1)"), ("E17",),
        "The ½ belongs to both terms, σ² and 1. As it stands, log σ² is driven to a variance of 2.",
        "KarenUllrich/Tutorial_BayesianCompressionForDL/issues/8",
    ),
    Bug(
        "total += loss * len(x)", "total += loss", ("E2",),
        "A batch's loss is a mean already. Added up and divided by the number of images it is "
        "smaller than it is by the size of a batch.",
        "pytorch/tutorials/issues/179",
    ),
    Bug(
        "z = mu + sigma * eps", "z = mu + sigma", ("E12",),
        "The noise is drawn and never used: z is a number that the encoder fixes, and σ another "
        "part of its mean.",
        "twairball/keras_lstm_vae/issues/1",
    ),
    Bug(
        "da = w * (sigmoid - x)", "da = w * (sigmoid - x) / x.shape[1]", ("E19",),
        "The gradient of the likelihood is that of a mean over the pixels, beside a KL that is a "
        "sum: a β of 64, hidden.",
        "keras-team/keras/pull/3383",
    ),
    Bug(
        STEP,
        "p -= lr * (m * (1 - BETA1**t)) / (np.sqrt(v * (1 - BETA2**t)) + EPS)", ("E24",),
        "The corrections of the bias multiply where they should divide; after many steps both are "
        "1, and nothing shows.",
        "karpathy/convnetjs/pull/70",
    ),
    Bug(
        KL, KL.replace("- logvar", "+ logvar"), ("E16",),
        "log σ² has the wrong sign in the value; the gradient is right. The KL that is reported "
        "can be negative.",
        "FluxML/model-zoo/pull/147",
    ),
    Bug(
        W, "w = 1", ("E2", "E19"),
        "The loss is a mean over the images and the gradient that of their sum. Adam divides by "
        "the size of the gradient, and hardly anything shows.",
        "tensorflow/swift-apis/pull/42",
    ),
    Bug(
        "limits = [(i, o, np.sqrt(6 / (i + o)))", "limits = [(i, o, np.sqrt(6 / i + o))", ("E25",),
        "Brackets are missing: the first weights are far too large.",
        "mlverse/torch/issues/555",
    ),
    Bug(
        DKL, DKL.replace("dmu + w", "dmu - w").replace("dlogvar + w", "dlogvar - w"), ("E17",),
        "The KL is subtracted on the way back: q is driven away from the prior, without an end.",
        "Kaixhin/Autoencoders/issues/9",
    ),
    Bug(
        "np.maximum(a, 0) + np.log1p(np.exp(np.minimum(a, -a)))", "np.log(1 + np.exp(a))", ("E18",),
        "e^a overflows for large logits. The value is right until then, and infinite after.",
        "borgwang/tinynn/pull/7",
    ),
    Bug(
        "m[:] = BETA1 * m + (1 - BETA1) * g", "m[:] = (1 - BETA1) * m + BETA1 * g", ("E24",),
        "β₁ and 1 − β₁ are exchanged: an average with hardly any memory, and a correction that "
        "belongs to another one.",
        "mila-iqia/blocks/issues/1159",
    ),
    Bug(
        DB, DB.replace("sum", "mean"), ("E5",),
        "The biases' gradient is a mean over the images, of what has been divided by their number "
        "already: the biases count too little, which Adam compensates for.",
        "kvfrans/notes/issues/5",
    ),
    Bug(
        NOISE, f"0.01 * {NOISE}", ("E12",),
        "The noise has a deviation of 0.01: the samples come from a narrower distribution than the "
        "one that the KL is computed of, and the loss is no bound of log p(x).",
        "keras-team/keras/pull/4211",
    ),
    Bug(
        "total += loss * len(x)", "total = loss * len(images)", ("E2",),
        "What is reported is the loss of the last batch alone.",
        "zc8340311/RobustAutoencoder/issues/6",
    ),
)  # fmt: skip


@cache
def correct_code() -> str:
    """reference.py without its first docstring, and without labels in comments."""
    text = module_source("reference").split('"""', 2)[2].lstrip("\n")
    return re.sub(r"  # E\d+.*$", "", text, flags=re.MULTILINE)


def file_of(number: int) -> str:
    """The name of a bug's file: bug_01.py."""
    return f"bug_{number:02}.py"


@cache
def losses() -> Mapping[str, Any]:
    """The losses that benchmarks/bug_losses.py measured."""
    content: dict[str, Any] = json.loads(LOSSES.read_text(encoding="utf-8"))
    return content


def trend_in_words(first: float | None, last: float | None) -> str:
    """Whether a loss falls, rises or stays, in words."""
    if first is None or last is None:
        return "its loss becomes infinite or NaN"
    if abs(last - first) <= 1e-3 * first:
        return f"its loss stays at {first:.3g} nats per image"
    way = "falls" if last < first else "rises"
    return f"its loss {way} from {first:.3g} to {last:.3g} nats per image"


def bug_file(number: int) -> str:
    """The content of a file with a bug, with what its loss does on top."""
    measured, right = losses()["bugs"][number - 1], losses()["right"]
    doc = f'''"""Find the bug, {number} of {len(BUGS)}.

A VAE with its gradient by hand; one line is wrong. On {losses()["images"]} digits, in
{losses()["epochs"]} epochs, {trend_in_words(*measured)}.
(Without the bug it goes from {right[0]:.3g} to {right[1]:.3g}.)

Write the line and the equation into {ANSWERS}. Labels, such as E12: docs/derivations.md.
"""
'''
    return f"{doc}\n{BUGS[number - 1].text(correct_code())}"


def line_of(number: int) -> int:
    """The line of the bug in its file."""
    lines = bug_file(number).splitlines()
    begin = BUGS[number - 1].wrong.splitlines()[0]
    (found,) = (i for i, line in enumerate(lines, start=1) if begin in line)
    return found


def new_bugs(folder: Path) -> list[str]:
    """Write all bugs, and the table for the answers, into a new folder; their names."""
    numbers = range(1, len(BUGS) + 1)
    contents = {file_of(i): bug_file(i) for i in numbers}
    table = "file,line,equation\n" + "".join(f"{file_of(i)},,\n" for i in numbers)
    write_new(folder, contents | {ANSWERS: table})
    return list(contents)


def bug_named(name: str) -> int:
    """The number of the bug called ``name``, "bug_07", "bug_07.py" or "bug_7"."""
    files = {file_of(i): i for i in range(1, len(BUGS) + 1)}
    for file, i in files.items():
        if name in (file, file.removesuffix(".py"), f"bug_{i}"):
            return i
    raise ConfigError(
        f"there is no bug {name!r}.{did_you_mean(name, files)} There are: bug_01 to "
        f"bug_{len(BUGS):02}"
    )


def bug_solution(number: int) -> str:
    """Where the bug is, what is wrong, and where such a bug was reported."""
    bug = BUGS[number - 1]
    return (
        f"{file_of(number)}, line {line_of(number)} ({' or '.join(bug.labels)})\n"
        f"  wrong: {bug.wrong}\n  right: {bug.right}\n{bug.what}\nreported: {bug.address}\n"
    )


def check_answers(
    folder: Path, name: str | None = None, see: Callable[[Outcome], None] = lambda outcome: None
) -> GradeReport:
    """Grade the answers of a folder, or one; ``see`` is told of each.

    Raises ``ConfigError`` for a table that cannot be read.
    """
    answers = _answers(folder / ANSWERS)
    numbers = [bug_named(name)] if name else range(1, len(BUGS) + 1)
    outcomes = [_graded(i, answers.get(file_of(i), ("", ""))) for i in numbers]
    for outcome in outcomes:
        see(outcome)
    return GradeReport(tuple(outcomes))


def _graded(number: int, answer: tuple[str, str]) -> Outcome:
    bug, (line, label) = BUGS[number - 1], answer
    parts: dict[str, str | None] = {"line": None, "equation": None}
    if line:
        parts["line"] = (
            "right" if line == str(line_of(number)) else f"line {line} is right as it is"
        )
    if label:
        parts["equation"] = "right" if label.upper() in bug.labels else f"it is not {label}"
    return Outcome(file_of(number), "find the bug", parts)


def _answers(path: Path) -> dict[str, tuple[str, str]]:
    """Line and equation by file."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    wanted = {"file", "line", "equation"}
    if not rows or not wanted <= set(rows[0]):
        raise ConfigError(f"{path} must have the columns file, line and equation, and a row each")
    return {
        (row["file"] or "").strip(): ((row["line"] or "").strip(), (row["equation"] or "").strip())
        for row in rows
    }
