"""The command line: parses, calls, prints. Data go to stdout, everything else to stderr.

Exit codes: 0 done; 1 a check failed; 2 a mistake, with one sentence that says which; 70 an internal
error (EX_SOFTWARE of sysexits.h), with one sentence, too; 130 and 143 interrupted by
Ctrl-C or SIGTERM, after saving. With --debug, before or after the command, the traceback stands
above the sentence.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from functools import partial

from scratchvae import __version__, tables
from scratchvae.cli import (
    compare,
    complete,
    completion,
    estimators,
    evaluate,
    exercises,
    explain,
    explore,
    export,
    gradcheck,
    info,
    plot,
    replay,
    reproduce,
    train,
    verify,
)
from scratchvae.cli.common import print_message
from scratchvae.cli.parser import Parser
from scratchvae.errors import ScratchVAEError, why_not_imported
from scratchvae.mpi.follow import serve
from scratchvae.mpi.ranks import connect
from scratchvae.training.output import abandon_lost_streams, make_streams_last, printable

INTERNAL_ERROR = 70

EXAMPLES = """examples:
  scratchvae train                      train on real digits, in well under a minute
  scratchvae train --resume RUN         resume a run that was interrupted
  scratchvae verify runs/digits-1       check every byte of a run's files
  scratchvae reproduce gluon            reproduce a tutorial on all of MNIST
  scratchvae evaluate runs/digits-1     ELBO and active latent units
  scratchvae compare runs/b1 runs/b4    what differs, and what it is worth
  scratchvae complete runs/digits-1     complete half-hidden images
  scratchvae plot runs/digits-1         draw the figures again
  scratchvae explain runs/digits-1      one training step as a page, number by number
  scratchvae explore runs/digits-1      a page in which the decoder runs
  scratchvae replay FILE                find the first infinity of a training that stopped
  scratchvae export runs/digits-1 x.safetensors   its weights, for PyTorch
  scratchvae gradcheck                  check every hand-written gradient
  scratchvae estimators                 bias and variance of every gradient estimator
  scratchvae exercises new exercises    write a VAE yourself, graded by mathematics
  scratchvae info                       versions, BLAS, devices
  scratchvae completion bash            let the shell complete all this
"""


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="scratchvae",
        description="Variational autoencoders with every gradient written by hand.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"scratchvae {__version__}")
    parser.set_defaults(command=partial(print_help, parser))  # where no command is named
    commands = parser.add_subparsers(dest="command_name", metavar="COMMAND")
    for module in (
        train,
        verify,
        reproduce,
        evaluate,
        compare,
        complete,
        plot,
        explain,
        explore,
        export,
        replay,
        estimators,
        gradcheck,
        exercises,
        info,
        completion,
    ):
        module.add_parser(commands)
    parser.set_defaults(debug=False)
    for each in (parser, *commands.choices.values()):  # suppressed: one must not undo the other
        each.add_argument("--debug", action="store_true", default=argparse.SUPPRESS,
                          help="show the traceback of an error")  # fmt: skip
    return parser


def print_help(parser: Parser, args: argparse.Namespace) -> int:
    """What there is."""
    parser.print_help()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Mistakes end in one sentence on stderr.

    Of several ranks that mpiexec has started, rank 0 runs it, and the others take part.
    """
    tables.own_names.clear()
    own_process = argv is None  # its streams are this program's, and it may begin anew
    if own_process:
        make_streams_last()
    ranks, notes, debug = None, [], False
    try:
        try:
            if own_process and (ranks := connect()) is not None:
                notes = ranks.introduce(sys.argv[1:])
                if ranks.rank:
                    return serve(ranks)
            args = make_parser().parse_args(argv)
            args.own_process, args.ranks, debug = own_process, ranks, args.debug
            for note in notes:
                print_message(note, getattr(args, "quiet", False))
            code: int = args.command(args)
            sys.stdout.flush()
        except SystemExit as error:  # a help, a version, or a mistake that the parser has told
            if ranks is None:
                raise
            code = error.code if isinstance(error.code, int) else 0
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exception(error)
            code, sentence = exit_status(error)
            print(f"scratchvae: {printable(sentence)}", file=sys.stderr)
            if ranks is not None:
                ranks.fail(code, sentence)
        if ranks is not None:
            ranks.end(code)
        return code
    finally:
        if own_process:
            abandon_lost_streams()


def exit_status(error: BaseException) -> tuple[int, str]:
    """The exit code and the sentence for what ended a command."""
    match error:
        case ScratchVAEError():
            return error.exit_code, str(error)
        case KeyboardInterrupt():  # a study names the signal
            return train.SIGNAL_EXITS.get(str(error), 130), "interrupted"
        case ImportError():
            return 2, why_not_imported(error)
        case OSError():  # a full disk, a folder that may not be written to
            return 2, str(error)
        case MemoryError():
            return 2, f"not enough memory: {error}" if str(error) else "not enough memory"
    what = " ".join(f"{type(error).__name__}: {error}".split())
    own = tables.blamed(error)
    if own is not None:
        return 2, f"{what} ({own}); --debug shows where it happened"
    return INTERNAL_ERROR, (
        f"internal error in scratchvae (not your input): {what}; --debug shows where it happened"
    )
