"""Tutorials as declared settings with their published figures."""

from scratchvae.errors import ConfigError, did_you_mean
from scratchvae.studies import flux, gluon, iwae, keras_conv, pytorch, tensorflow1
from scratchvae.studies.completion import Completed, complete_as
from scratchvae.studies.report import Provenance, write_report
from scratchvae.studies.reproduce import Reproduction, Row, Trial, reproduce, table
from scratchvae.studies.staged import StagedStudy
from scratchvae.studies.study import (
    MEASURED_ON,
    CompletionTarget,
    Figure,
    Study,
    Tutorial,
    with_likelihood,
)

STUDIES: dict[str, Study] = {
    module.STUDY.name: module.STUDY for module in (gluon, keras_conv, pytorch, tensorflow1, flux)
}


STAGED: dict[str, StagedStudy] = {iwae.STUDY.name: iwae.STUDY}


def find_study(name: str) -> Study:
    """The study of this name; ``ConfigError`` names the nearest, and lists those there are."""
    if name not in STUDIES:
        near = did_you_mean(name, STUDIES)
        raise ConfigError(f"unknown study {name!r}.{near} There are: {', '.join(STUDIES)}")
    return STUDIES[name]


__all__ = [
    "MEASURED_ON",
    "STAGED",
    "STUDIES",
    "Completed",
    "CompletionTarget",
    "Figure",
    "Provenance",
    "Reproduction",
    "Row",
    "StagedStudy",
    "Study",
    "Trial",
    "Tutorial",
    "complete_as",
    "find_study",
    "reproduce",
    "table",
    "with_likelihood",
    "write_report",
]
