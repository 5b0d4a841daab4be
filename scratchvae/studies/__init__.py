"""Tutorials as declared settings with their published figures."""

from scratchvae.errors import ConfigError
from scratchvae.studies import flux, gluon, keras_conv, pytorch, tensorflow1
from scratchvae.studies.completion import Completed, complete_as
from scratchvae.studies.report import write_report
from scratchvae.studies.reproduce import Reproduction, Row, Trial, reproduce, table
from scratchvae.studies.study import CompletionTarget, Figure, Study, with_likelihood

STUDIES: dict[str, Study] = {
    module.STUDY.name: module.STUDY for module in (gluon, keras_conv, pytorch, tensorflow1, flux)
}


def find_study(name: str) -> Study:
    """The study of this name; ``ConfigError`` lists those there are."""
    if name not in STUDIES:
        raise ConfigError(f"unknown study {name!r}; there are: {', '.join(STUDIES)}")
    return STUDIES[name]


__all__ = [
    "STUDIES",
    "Completed",
    "CompletionTarget",
    "Figure",
    "Reproduction",
    "Row",
    "Study",
    "Trial",
    "complete_as",
    "find_study",
    "reproduce",
    "table",
    "with_likelihood",
    "write_report",
]
