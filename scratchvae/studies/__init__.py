"""Tutorials as declared settings with their published figures."""

import reprlib

from scratchvae.errors import ConfigError, did_you_mean
from scratchvae.studies import flux, gluon, iwae, keras_conv, pytorch, quadrants, tensorflow1
from scratchvae.studies.completion import Completed, complete_as
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
from scratchvae.tables import import_own

STUDIES: dict[str, Study] = {
    module.STUDY.name: module.STUDY for module in (gluon, keras_conv, pytorch, tensorflow1, flux)
} | {study.name: study for study in quadrants.STUDIES}


STAGED: dict[str, StagedStudy] = {study.name: study for study in iwae.STUDIES}


def find_study(name: str) -> Study:
    """The study of this name, or the ``module:STUDY`` of your own.

    Raises ``ConfigError`` for an unknown name, suggesting the nearest, and for what is no study.
    """
    if ":" in name:
        study = import_own("study", name)
        if not isinstance(study, Study):
            raise ConfigError(
                f"study {name!r}: expected a scratchvae.studies.Study under this name, not "
                f"{reprlib.repr(study)}; write module:STUDY"
            )
        return study
    if name not in STUDIES:
        near = did_you_mean(name, (*STUDIES, *STAGED))
        known = ", ".join((*STUDIES, *STAGED))
        raise ConfigError(
            f"unknown study {name!r}.{near} There are: {known}, or module:STUDY of your own"
        )
    return STUDIES[name]


__all__ = [
    "MEASURED_ON",
    "STAGED",
    "STUDIES",
    "Completed",
    "CompletionTarget",
    "Figure",
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
]
