"""scratchvae gradcheck: check every hand-written gradient."""

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("gradcheck", help="check every hand-written gradient")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """placeholder until the suite lands."""
    raise NotImplementedError
