"""The command line: parses, calls, prints. Data go to stdout, everything else to stderr.

Exit codes: 0 done; 1 a check failed; 2 a mistake, with one sentence that says which; 130 and 143
interrupted by Ctrl-C or SIGTERM, after saving.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from scratchvae import __version__
from scratchvae.commands import (
    complete,
    estimators,
    evaluate,
    gradcheck,
    info,
    plot,
    reproduce,
    train,
    verify,
)
from scratchvae.errors import ScratchVAEError

EXAMPLES = """examples:
  scratchvae train                      train on real digits, in well under a minute
  scratchvae train --resume RUN         go on with a run that was interrupted
  scratchvae verify runs/digits-1       check every byte that a run has left
  scratchvae reproduce gluon            reproduce a tutorial on all of MNIST
  scratchvae evaluate runs/digits-1     ELBO and latent units
  scratchvae complete runs/digits-1     complete images of which half is hidden
  scratchvae plot runs/digits-1         draw the figures again
  scratchvae gradcheck                  check every hand-written gradient
  scratchvae estimators                 bias and variance of every gradient estimator
  scratchvae info                       versions, BLAS, devices
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="scratchvae",
        description="Variational autoencoders with every gradient written by hand.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scratchvae {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (train, verify, reproduce, evaluate, complete, plot, estimators, gradcheck, info):
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Mistakes end in one sentence on stderr."""
    args = make_parser().parse_args(argv)
    args.own_process = argv is None  # a command may begin its process anew
    # A stream that cannot show a ± or a β shows an escape instead of a traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = args.command(args)
        sys.stdout.flush()
        return code
    except ScratchVAEError as error:
        print(f"scratchvae: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interruption:  # a study names the signal
        print("scratchvae: interrupted", file=sys.stderr)
        return train.SIGNAL_EXITS.get(str(interruption), 130)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a folder that may not be written to
        print(f"scratchvae: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"scratchvae: the memory does not suffice: {error}", file=sys.stderr)
        return 2
