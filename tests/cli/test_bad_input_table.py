"""The table of mistakes is whole: every command, every option, every kind of file has its row.

The parser itself is asked which options there are. What an option can't get wrong (it takes no
value) gets its row here: a value given all the same.
"""

import argparse
import shlex

import pytest
import test_bad_input
import test_bad_input_data
import test_bad_input_resume
import test_bad_input_runs
import test_bad_input_settings
from bad_input import Table, refuses

from scratchvae.cli.main import make_parser

TABLES = (
    test_bad_input,
    test_bad_input_data,
    test_bad_input_settings,
    test_bad_input_runs,
    test_bad_input_resume,
)
ALL: Table = {
    f"{table.__name__}: {name}": row for table in TABLES for name, row in table.ROWS.items()
}
KINDS = (".npy", ".npz", "-ubyte", ".gz", ".csv", ".png", "config", "checkpoint", "metrics")
KINDS += ("mask", "replay")


def commands() -> dict[str, argparse.ArgumentParser]:
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("there are no commands")


OPTIONS = [
    (command, action)
    for command, parser in commands().items()
    for action in parser._actions
    if not isinstance(action, argparse._HelpAction)
]
VALUED = [(c, a) for c, a in OPTIONS if a.nargs != 0]
FLAGS = [(c, a) for c, a in OPTIONS if a.nargs == 0]


def show(value: object) -> str:
    if isinstance(value, argparse.Action):
        return value.option_strings[0] if value.option_strings else str(value.metavar)
    return str(value)


def words(line: str) -> list[str]:
    return [word.partition("=")[0] for word in shlex.split(line)]


@pytest.mark.parametrize(("command", "action"), VALUED, ids=show)
def test_every_option_and_argument_of_every_command_has_a_row(command, action) -> None:
    rows = [words(line) for line, _ in ALL.values() if line.startswith(command)]
    if action.option_strings:
        assert any(flag in row for row in rows for flag in action.option_strings)
    else:
        assert any(len(row) > 1 and not row[1].startswith("-") for row in rows)


@pytest.mark.parametrize(("command", "action"), FLAGS, ids=show)
def test_a_flag_takes_no_value(command, action, world, capsys) -> None:
    line = f"{command} {action.option_strings[0]}=yes"
    refuses(world, line, "ignored explicit argument 'yes'", capsys)


NUMBERS = [(c, a) for c, a in VALUED if a.type in (int, float)]


@pytest.mark.parametrize(("command", "action"), NUMBERS, ids=show)
@pytest.mark.parametrize("value", ["many", "", "1,5", f"{'9' * 5000}e"])
def test_a_number_in_words_is_refused(command, action, value, world, capsys) -> None:
    flag = action.option_strings[0]
    typed = [flag, value] if action.nargs == "*" else [f"{flag}={value}"]
    fragment = f"argument {flag}: invalid {action.type.__name__} value: {value[:500]!r}"[:500]
    refuses(world, shlex.join([command, *typed]), fragment, capsys)


CHOICES = [(c, a) for c, a in VALUED if a.choices and a.option_strings]


@pytest.mark.parametrize(("command", "action"), CHOICES, ids=show)
@pytest.mark.parametrize("value", ["magic", "", "ANALYTIC", " none"])
def test_a_choice_that_is_none_is_answered_with_what_there_is(
    command, action, value, world, capsys
) -> None:
    flag = action.option_strings[0]
    line = shlex.join([command, f"{flag}={value}"])
    sentence = refuses(world, line, f"argument {flag}: invalid choice: {value!r}", capsys)
    assert all(str(choice) in sentence for choice in action.choices)


@pytest.mark.parametrize("name", ALL)
def test_a_row_compares_a_sentence_and_not_what_was_typed(name: str) -> None:
    line, fragment = ALL[name]
    assert len(fragment) >= 8
    assert fragment not in line


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_has_a_row(kind: str) -> None:
    assert any(kind in line or kind in fragment for line, fragment in ALL.values())


def test_the_table_has_a_row_for_every_command_and_is_as_long_as_it_was_meant_to_be() -> None:
    assert {line.split()[0] for line, _ in ALL.values() if line} >= set(commands())
    assert len({line for line, _ in ALL.values()}) >= 250
