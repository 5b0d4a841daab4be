"""scratchvae verify: whether a run's files are whole, byte by byte."""

import argparse
from pathlib import Path

from scratchvae.cli.common import add_output_arguments, print_message, print_result
from scratchvae.cli.parser import Commands, add_command
from scratchvae.runs import RunFolder, verify_run


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "verify",
        run,
        help="check that a run's files are intact",
        description="Check config.json, metrics.jsonl, every checkpoint and the film of a run. "
        "Exit code 0: all are intact; 1: something is damaged, with a sentence for each.",
        examples=["scratchvae verify runs/digits-1"],
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Say what is whole and what is not."""
    report = verify_run(RunFolder.open(args.run))
    for note in report.notes:
        print_message(note, args.quiet)
    lines = [f"{name:<16}{words}" for name, words in report.files.items()]
    lines += report.damage or [f"{args.run}: all is whole"]
    content = {
        "run": str(args.run),
        "whole": not report.damage,
        "files": report.files,
        "damage": report.damage,
        "notes": report.notes,
    }
    print_result(args.json, content, "\n".join(lines))
    return 1 if report.damage else 0
