"""A pytest plugin: the fixture ``assert_gradient``, options for it, and a report of every check.

    def test_my_layer(assert_gradient):
        assert_gradient(f, x, vjp=backward)

``--gradient-method``, ``--gradient-directions`` and ``--gradient-tolerance`` are what a test gets
that does not say otherwise; ``--gradient-json FILE`` writes the reports of all tests, also where
pytest-xdist runs them in several processes.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scratchvae.types import Function, Json

if TYPE_CHECKING:
    from scratchvae.gradcheck.adapters import Adapted
    from scratchvae.gradcheck.report import Report

PROPERTY = "gradient check"  # of a test: how a report travels from the process that ran it


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("gradient checks")
    group.addoption("--gradient-method", metavar="METHOD",
                    help="complex, central, five_point, richardson or ridders")  # fmt: skip
    group.addoption("--gradient-directions", type=int, metavar="N",
                    help="random directions instead of every element")  # fmt: skip
    group.addoption("--gradient-tolerance", type=float, metavar="T",
                    help="the relative error that passes (default: the method's own)")  # fmt: skip
    group.addoption("--gradient-json", metavar="FILE",
                    help="write the reports of all gradient checks into FILE")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Gather the reports, in the process that started the others."""
    path = config.getoption("--gradient-json")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(Path(path)), "gradient reports")


@pytest.fixture
def assert_gradient(request: pytest.FixtureRequest) -> Function:
    """``scratchvae.gradcheck.assert_gradient`` with the options of the command line."""
    from scratchvae.gradcheck import check_gradient

    names = {"method": "gradient_method", "directions": "gradient_directions",
             "tolerance": "gradient_tolerance"}  # fmt: skip
    given = {name: request.config.getoption(option) for name, option in names.items()}
    defaults = {name: value for name, value in given.items() if value is not None}

    def check(f: "Function | Adapted", *arguments: object, **options: Any) -> "Report":
        report = check_gradient(f, *arguments, **(defaults | options))
        request.node.user_properties.append((PROPERTY, json.loads(report.to_json())))
        return report.raise_if_failed()

    return check


class Collector:
    """Gathers what the tests reported and writes it when they are done."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, list[Json]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The reports of one test."""
        if report.when == "call":
            self.found += [
                {"test": report.nodeid, **content}
                for name, content in report.user_properties
                if name == PROPERTY and isinstance(content, dict)
            ]

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self.path.write_text(json.dumps({"checks": self.found}, indent=2) + "\n", encoding="utf-8")
