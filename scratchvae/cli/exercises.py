"""scratchvae exercises: write exercises, grade them, show a hint or a solution."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from scratchvae.cli.common import print_message, print_result
from scratchvae.cli.parser import Commands, add_command
from scratchvae.errors import ConfigError
from scratchvae.exercises.bugs import (
    ANSWERS,
    bug_named,
    bug_solution,
    check_answers,
    file_of,
    new_bugs,
)
from scratchvae.exercises.catalogue import exercise_named
from scratchvae.exercises.contained import SECONDS, check_folder
from scratchvae.exercises.folder import new_folder
from scratchvae.exercises.notebook import new_notebooks
from scratchvae.exercises.report import Outcome

DESCRIPTION = """\
Write a VAE yourself, exercise by exercise: each is a function of this package with its body taken
out. They are graded by gradient checks and exact oracles, so any correct formula passes, and a
wrong one gets a verdict in words.

  new DIR            write the exercises into a new folder
  check DIR [NAME]   grade them all, or one; exit code 1 if one is not right yet
  hint NAME          show a hint
  solution NAME      show this package's own body, after asking
  bugs DIR           write small VAEs with one bug each; check DIR grades the answers
  notebooks DIR      write the exercises as notebooks, which grade themselves"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "exercises",
        run,
        help="write a VAE yourself, graded by mathematics",
        description=DESCRIPTION,
        examples=[
            "scratchvae exercises new exercises",
            "scratchvae exercises check exercises kl",
            "scratchvae exercises check exercises --json",
            "scratchvae exercises solution kl",
            "scratchvae exercises bugs bugs",
        ],
    )
    parser.add_argument("action", choices=tuple(ACTIONS), metavar="ACTION",
                        help=f"{', '.join(ACTIONS)}")  # fmt: skip
    parser.add_argument("what", nargs="?", metavar="DIR|NAME",
                        help="a folder (new, check, bugs, notebooks), or an exercise (hint, "
                        "solution)")  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME",
                        help="check: one exercise, such as kl, 6 or bug_03")  # fmt: skip
    parser.add_argument("--json", action="store_true",
                        help="check: print the report as one JSON object, which Gradescope "
                        "takes")  # fmt: skip
    parser.add_argument("--seconds", type=int, default=SECONDS, metavar="N",
                        help="check: the time that one exercise may take "
                        f"(default: {SECONDS})")  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="solution: do not ask")


def run(args: argparse.Namespace) -> int:
    """Carry out the action; its exit code."""
    wants = "NAME" if args.action in ("hint", "solution") else "DIR"
    if not args.what:
        raise ConfigError(
            f"exercises {args.action} needs {wants}: scratchvae exercises {args.action} {wants}"
        )
    if args.name and args.action != "check":
        raise ConfigError(
            f"exercises {args.action} takes one argument, {wants}, not {args.name!r} too"
        )
    if args.seconds < 1:
        raise ConfigError(f"--seconds must be at least 1, not {args.seconds}")
    return ACTIONS[args.action](args)


def new(args: argparse.Namespace) -> int:
    """Write the folder, and say how to begin."""
    written = new_folder(Path(args.what))
    print_message(f"{len(written)} exercises are in {args.what}")
    print_message(f"begin with {Path(args.what) / written[0]}: fill it in, then run it")
    print_message(f"all of them: scratchvae exercises check {args.what}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Grade and print; 1 where something is not right yet, 2 where a file could not be graded."""
    folder = Path(args.what)

    def see(outcome: Outcome) -> None:
        """Print an exercise's line as soon as it is graded, unless it is the only one."""
        if not (args.json or args.name):
            print(outcome.text(), flush=True)

    if (folder / ANSWERS).exists():
        report = check_answers(folder, args.name, see)
    else:
        report = check_folder(folder, args.name, args.seconds, see)
    only = report.outcomes[0]
    if args.name and report.exit_code == 2 and not args.json:
        raise ConfigError(only.verdict)
    print_result(args.json, report.to_json(), only.text() if args.name else report.progress)
    return report.exit_code


def hint(args: argparse.Namespace) -> int:
    """Print the hint."""
    print(exercise_named(args.what)[1].hint)
    return 0


def solution(args: argparse.Namespace) -> int:
    """Print the package's own body, if that is wanted."""
    if args.what.startswith("bug"):
        number = bug_named(args.what)
        name, text = file_of(number), bug_solution(number)
    else:
        exercise = exercise_named(args.what)[1]
        name, text = exercise.name, exercise.solution()
    if not args.yes:
        if not sys.stdin.isatty():
            raise ConfigError("there is no terminal to ask on: --yes shows the solution")
        print(f"Show the solution of {name}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print_message("not shown")
            return 0
    print(text, end="")
    return 0


def bugs(args: argparse.Namespace) -> int:
    """Write the folder of bugs, and say where the answers go."""
    written = new_bugs(Path(args.what))
    answers = Path(args.what) / ANSWERS
    print_message(f"{len(written)} modules with one bug each are in {args.what}")
    print_message(f"write line and equation of each into {answers}")
    print_message(f"then: scratchvae exercises check {args.what}")
    return 0


def notebooks(args: argparse.Namespace) -> int:
    """Write the folder of notebooks."""
    written = new_notebooks(Path(args.what))
    print_message(f"{len(written)} notebooks are in {args.what}; begin with {written[0]}")
    return 0


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "new": new,
    "check": check,
    "hint": hint,
    "solution": solution,
    "bugs": bugs,
    "notebooks": notebooks,
}
