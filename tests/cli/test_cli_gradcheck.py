"""scratchvae gradcheck: the table, and what no table covers."""

import json

import pytest


def test_the_command_says_that_every_operation_has_an_entry(cli, monkeypatch) -> None:
    monkeypatch.setattr("scratchvae.selfcheck.coverage.uncovered", lambda: [])
    answer = cli("gradcheck", "--only", "relu")
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == "every operation of scratchvae has an entry"


def test_an_operation_without_an_entry_is_named(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchvae.selfcheck.coverage.uncovered", lambda: ["Leaky", "Laplace"])
    answer = cli("gradcheck", "--only", "relu")
    assert answer.out.splitlines()[-1] == "without an entry, so never checked: Leaky, Laplace"
    content = json.loads(cli("gradcheck", "--only", "relu", "--json").out)
    assert content["without_entry"] == ["Leaky", "Laplace"]
    assert content["failed"] is False
