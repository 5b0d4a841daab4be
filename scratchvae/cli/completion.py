"""scratchvae completion: print a script with which a shell completes commands and options."""

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from scratchvae.cli.parser import Commands, add_command, commands_of, summaries_of

SHELLS = ("bash", "zsh", "fish")
DESCRIPTION = """\
Print a script with which a shell completes commands, options and choices.

  in ~/.bashrc:                eval "$(scratchvae completion bash)"
  in ~/.zshrc, after compinit: eval "$(scratchvae completion zsh)"
  fish: scratchvae completion fish > ~/.config/fish/completions/scratchvae.fish"""


@dataclass(frozen=True)
class Option:
    """An option of a command: its spellings, what may follow, and its help."""

    flags: tuple[str, ...]
    takes_value: bool
    choices: tuple[str, ...]
    help: str


@dataclass(frozen=True)
class Command:
    """A command: its options, and the words that may stand as its arguments."""

    name: str
    help: str
    options: tuple[Option, ...]
    words: tuple[str, ...]

    @property
    def flags(self) -> list[str]:
        """Every spelling of every option."""
        return [flag for option in self.options for flag in option.flags]


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "completion",
        run,
        help="let a shell complete commands and options",
        description=DESCRIPTION,
        examples=["scratchvae completion bash"],
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> int:
    """Print the script for the shell that the arguments name."""
    from scratchvae.cli.main import make_parser

    script = {"bash": bash, "zsh": zsh, "fish": fish}[args.shell]
    print("\n".join(script(describe(make_parser()))))
    return 0


def describe(parser: argparse.ArgumentParser) -> list[Command]:
    """What there is to complete, as the parser says it."""
    summaries = summaries_of(parser)
    found = []
    for name, command in commands_of(parser).items():
        options: list[Option] = []
        words: list[str] = []
        for action in command._actions:
            choices = tuple(map(str, action.choices or getattr(action, "suggestions", None) or ()))
            if action.option_strings:
                flags, takes = tuple(action.option_strings), action.nargs != 0
                options.append(Option(flags, takes, choices, _first_words(action.help or "")))
            else:
                words += choices
        found.append(Command(name, summaries[name], tuple(options), tuple(words)))
    return found


def bash(commands: list[Command]) -> Iterator[str]:
    """A bash script; whatever is neither an option nor a choice is completed as a file."""
    yield "# bash completion of scratchvae"
    yield "_scratchvae() {"
    yield '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"'
    yield '    local words=""'
    yield '    if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f"        words={shlex.quote(' '.join(c.name for c in commands) + ' --help --version')}"
    yield "    else"
    yield '        case "${COMP_WORDS[1]} $previous" in'
    for command, flag, option in _choices(commands):
        pattern = shlex.quote(f"{command.name} {flag}")
        words = shlex.quote(" ".join(option.choices))
        yield f'            {pattern}) COMPREPLY=($(compgen -W {words} -- "$current")); return ;;'
    yield "        esac"
    yield '        case "${COMP_WORDS[1]} $current" in'
    for command in commands:
        flags = shlex.quote(" ".join(command.flags))
        yield f'            "{command.name} -"*) words={flags} ;;'
    for command in commands:
        if command.words:
            yield f'            "{command.name} "*) words={shlex.quote(" ".join(command.words))} ;;'
    yield "        esac"
    yield "    fi"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$current"))'
    yield "}"
    yield "complete -o bashdefault -o default -F _scratchvae scratchvae"


def zsh(commands: list[Command]) -> Iterator[str]:
    """A zsh script, with the help of every command and option beside it."""
    yield "#compdef scratchvae"
    yield "_scratchvae() {"
    yield "    local -a matches"
    yield "    if (( CURRENT == 2 )); then"
    yield f"        matches=({' '.join(_described(c.name, c.help) for c in commands)})"
    yield "        _describe command matches"
    yield "        return"
    yield "    fi"
    yield '    case "$words[2] $words[CURRENT-1]" in'
    for command, flag, option in _choices(commands):
        words = " ".join(map(shlex.quote, option.choices))
        yield f"        {shlex.quote(f'{command.name} {flag}')}) compadd -- {words}; return ;;"
    yield "    esac"
    yield '    case "$words[2] $words[CURRENT]" in'
    for command in commands:
        pairs = [_described(flag, o.help) for o in command.options for flag in o.flags]
        yield f"        '{command.name} -'*) matches=({' '.join(pairs)})"
        yield "            _describe -o option matches; return ;;"
    for command in commands:
        if command.words:
            words = " ".join(map(shlex.quote, command.words))
            yield f"        '{command.name} '*) compadd -- {words}; return ;;"
    yield "    esac"
    yield "    _files"
    yield "}"
    yield "compdef _scratchvae scratchvae"


def fish(commands: list[Command]) -> Iterator[str]:
    """A fish script: a line per command and per option."""
    yield "# fish completion of scratchvae"
    for command in commands:
        name, summary = command.name, _fish_quoted(command.help)
        yield f"complete -c scratchvae -n __fish_use_subcommand -f -a {name} -d {summary}"
    for command in commands:
        seen = f"complete -c scratchvae -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            yield f"{seen} -f -a {_fish_quoted(' '.join(command.words))}"
        for option in command.options:
            parts = [seen]
            for flag in option.flags:
                parts.append(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}")
            if option.choices:
                parts.append(f"-x -a {_fish_quoted(' '.join(option.choices))}")
            elif option.takes_value:
                parts.append("-r")
            yield " ".join([*parts, f"-d {_fish_quoted(option.help)}"])


def _choices(commands: list[Command]) -> Iterator[tuple[Command, str, Option]]:
    """Every spelling of every option that takes one of a few words."""
    for command in commands:
        for option in command.options:
            if option.choices:
                yield from ((command, flag, option) for flag in option.flags)


def _first_words(help: str) -> str:
    """The beginning of a help text, for one line of a list."""
    return help.partition(";")[0].partition(" (default")[0].replace("%%", "%")


def _described(word: str, help: str) -> str:
    """word:help as zsh's _describe wants it."""
    return shlex.quote(f"{word}:{help.replace(':', ',')}")


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
