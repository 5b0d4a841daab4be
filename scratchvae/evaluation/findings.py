"""The findings of a diagnosis, in sentences, and what to try."""

from typing import NamedTuple

from scratchvae.evaluation.diagnosis import Diagnosis
from scratchvae.evaluation.information import Estimate

CERTAIN = 2.0  # standard errors by which a number must exceed zero
SHARE = 0.01  # of the bound, which a number must exceed to be mentioned
RELIABLE_SAMPLES = 10.0  # effective samples; with fewer, log p(x) may be far too low


class Finding(NamedTuple):
    """One thing that stands out in a model, in a sentence, with what to try."""

    kind: str  # "inactive units", for programs
    words: str
    advice: str = ""  # empty where there is nothing to mend


def interpret(d: Diagnosis) -> list[Finding]:
    """What stands out in a diagnosis, the most serious first; a sound model has a finding, too."""
    found = [*_about_units(d), *_about_decoder_and_z(d), *_about_encoder(d), *_about_fit(d)]
    if not any(finding.advice for finding in found):
        found.insert(
            0,
            Finding(
                "sound",
                "Nothing stands out: all units are active, and neither gap nor overfitting exceeds "
                f"{SHARE:.0%} of the bound and {CERTAIN:g} standard errors",
            ),
        )
    return found


def _counts(e: Estimate, d: Diagnosis, share: float = SHARE) -> bool:
    """Whether a number is significantly above zero, and not small beside the bound."""
    return e.value > CERTAIN * e.error and e.value > share * abs(d.test.elbo.value)


def _about_units(d: Diagnosis) -> list[Finding]:
    units = len(d.kl_per_unit)
    if not d.inactive:
        return []
    if len(d.inactive) == units:
        epochs = [e for e in d.inactive_since.values() if e is not None]
        since = f" since epoch {max(epochs)}" if len(epochs) == units else ""
        return [
            Finding(
                "collapse",
                f"The posterior has collapsed: none of the {units} units tells images apart{since}",
                f"{_less_pressure(d)}; a decoder with fewer units; a smaller learning rate",
            )
        ]
    named = ", ".join(f"{unit}{_since(d.inactive_since[unit])}" for unit in d.inactive)
    used = max(d.kl_per_unit[unit].value for unit in d.inactive)
    return [
        Finding(
            "inactive units",
            f"Inactive are {len(d.inactive)} of {units} units, counted from 0: {named}; none of "
            f"them has a KL above {used:.3f} nats",
            f"{_less_pressure(d)}; or leave it: fewer units (--latent-dim {units - len(d.inactive)}"
            ") describe these images as well",
        )
    ]


def _since(epoch: int | None) -> str:
    return "" if epoch is None else f" since epoch {epoch}"


def _less_pressure(d: Diagnosis) -> str:
    """Settings with which z carries more information, given those that the model has."""
    ways = ["let the KL's weight grow from 0 (--kl-warmup, the steps of some epochs)"]
    ways.append("give each unit some nats that cost nothing (--free-bits 0.1)")
    if d.beta > 1:
        ways.append(f"a smaller beta than {d.beta:g}")
    if d.std is not None:
        ways.append(
            f"a smaller standard deviation of the pixels than {d.std:g} (--std), or a learned one "
            "(--likelihood gaussian-learned)"
        )
    return "; ".join(ways)


def _about_decoder_and_z(d: Diagnosis) -> list[Finding]:
    found, info, use = [], d.information, d.use_of_z
    collapsed = len(d.inactive) == len(d.kl_per_unit)  # which says the same, and more
    if use.value <= CERTAIN * use.error and not collapsed:
        kept = info.kl.value > CERTAIN * info.kl.error
        spent = f", although the encoder spends {info.kl} nats on it" if kept else ""
        found.append(
            Finding(
                "decoder ignores z",
                f"The decoder ignores z: with the z of another image log p(x|z) falls by {use} "
                f"nats{spent}",
                _less_pressure(d),
            )
        )
    if info.mutual_information.value > info.limit - 1:
        found.append(
            Finding(
                "information at its limit",
                f"z tells nearly all of these {info.images} images apart, so that the lower bound "
                f"of the mutual information says little: no estimate from {info.images} images "
                f"exceeds {info.limit:.2f} nats",
            )
        )
    if _counts(d.decoder_overfitting, d):
        found.append(
            Finding(
                "decoder overfitted",
                f"The decoder is overfitted: with q fitted to each image the bound is "
                f"{d.decoder_overfitting} nats better on training images than on test images",
                "stop early (--validation N --patience K); fewer or smaller hidden layers; more "
                "images; pixels that are drawn afresh (--binarize dynamic)",
            )
        )
    if d.trend is not None and _counts(-d.trend, d, SHARE / 10):  # a percent in ten epochs
        found.append(
            Finding(
                "still learning",
                f"The training loss still falls, by {-d.trend} nats per epoch",
                "train for more epochs, or with a larger learning rate",
            )
        )
    return found


def _about_encoder(d: Diagnosis) -> list[Finding]:
    found = []
    loss = d.test.amortization
    if _counts(d.encoder_overfitting, d):
        found.append(
            Finding(
                "encoder overfitted",
                f"The encoder is overfitted: it loses {loss} nats on test images beside q fitted "
                f"to each, and {d.train.amortization} on training images",
                "stop early (--validation N --patience K); a smaller encoder; more images; or fit "
                "q to each test image, as this diagnosis does",
            )
        )
    elif _counts(loss, d):
        why = (
            f": it was trained for a KL of weight {d.beta:g}, which has another best q"
            if d.beta != 1
            else ""
        )
        found.append(
            Finding(
                "encoder underfitted",
                f"The encoder loses {loss} nats beside q fitted to each test image, on training "
                f"images {d.train.amortization}{why}",
                "a larger encoder; more epochs" + ("; a beta of 1" if d.beta != 1 else ""),
            )
        )
    if _counts(d.test.approximation, d):
        found.append(
            Finding(
                "family of q too small",
                f"The best Gaussian q of independent units is {d.test.approximation} nats below "
                "log p(x): the true posterior has another shape",
                "train on the bound with importance weights (--estimator iwae --samples 5), which "
                "suffers less from it",
            )
        )
    return found


def _about_fit(d: Diagnosis) -> list[Finding]:
    found = []
    for gaps, which in ((d.test, "test"), (d.train, "training")):
        if _counts(-gaps.amortization, d, SHARE / 10):
            found.append(
                Finding(
                    "fit not finished",
                    f"On {which} images the fit ends {-gaps.amortization} nats below the encoder, "
                    "so that it has not found the best q",
                    "more steps of the fit, in Python: DiagnosisSettings(steps=1000)",
                )
            )
        if gaps.effective_samples < RELIABLE_SAMPLES:
            found.append(
                Finding(
                    "log p(x) too low",
                    f"Only {gaps.effective_samples:.1f} samples of {gaps.samples} count for "
                    f"log p(x) of {which} images, which is too low, as the approximation gap is",
                    "more samples, in Python: DiagnosisSettings(final_samples=10_000)",
                )
            )
    return found
