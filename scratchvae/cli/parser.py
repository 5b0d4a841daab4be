"""argparse with errors of one line that name the nearest match, and helps in plain ASCII."""

import argparse
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn

from scratchvae.errors import did_you_mean
from scratchvae.training.output import printable

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]
else:
    Commands = object

PLAIN = str.maketrans("“”−–…", '""--.')  # a help can be shown by every terminal and file


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wraps a description to the terminal; indented lines, such as commands to copy, stay whole."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = (
            line if line.startswith(" ") else textwrap.fill(line, width)
            for line in text.splitlines()
        )
        return "\n".join(indent + line for line in lines)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: what was wrong, what was meant, where to read more."""

    def __init__(self, **settings: object) -> None:
        settings.setdefault("formatter_class", HelpFormatter)
        super().__init__(**settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """End the process with exit code 2 and one line on stderr."""
        if "There are: " not in message:
            message += f"{'' if message.endswith('?') else '.'} See {self.prog} --help"
        self.exit(2, f"{self.prog}: {printable(message)}\n")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse does it, but the command that does not know an argument says so itself."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = commands_of(self).get(found.command_name, self)
            known = [flag for action in parser._actions for flag in action.option_strings]
            near = did_you_mean(unknown[0].partition("=")[0], known)
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{near and '.' + near}")
        return found

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """argparse asks this of every choice, commands included."""
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(
                action,
                f"invalid choice: {value!r}.{did_you_mean(str(value), choices)} "
                f"There are: {', '.join(choices)}",
            )


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    help: str,
    description: str,
    examples: Sequence[str],
) -> Parser:
    """The parser of a command whose arguments ``run`` carries out; ``examples`` end its help."""
    title = "examples" if len(examples) > 1 else "example"
    epilog = f"{title}:\n" + "\n".join(f"  {line}" for line in examples)
    parser = commands.add_parser(name, help=help, description=description, epilog=epilog)
    parser.set_defaults(command=run)
    return parser


def suggest(parser: argparse.ArgumentParser, name: str, words: Iterable[str]) -> None:
    """Let shells complete an option or argument with these words, which others may replace."""
    (action,) = (a for a in parser._actions if name in (*a.option_strings, a.dest))
    action.suggestions = tuple(words)  # type: ignore[attr-defined]


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser by name; none where it has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def summaries_of(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What the help says of each command, in a line."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {listed.dest: listed.help or "" for listed in action._choices_actions}
    return {}
