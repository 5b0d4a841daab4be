"""The program: python -m scratchvae, and the command that is installed.

It loads nothing before it can answer Ctrl-C: the command line takes a moment to be imported, and
an interrupt in the middle of that would end in a traceback, or in a module that is half there.
"""

import os
import signal
import sys

from scratchvae.mpi.guardian import guard, say_for_itself
from scratchvae.mpi.place import choose_device, place


def main() -> int:
    """Load the command line and run it; the exit code. Under mpiexec, in a child of its own."""
    here, rank = place(), 0
    if here is not None and here.size > 1:
        rank = here.rank
        guard(rank)
        choose_device(here)
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, _leave)
    try:
        from scratchvae.cli.main import main as run
    except ImportError as error:
        from scratchvae.errors import why_not_imported

        return _fail(why_not_imported(error), rank)
    except (MemoryError, OSError) as error:
        return _fail(f"not enough memory to load the program: {error}", rank)
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def _leave(number: int, frame: object) -> None:
    os.write(2, b"scratchvae: interrupted\n")
    os._exit(130)


def _fail(sentence: str, rank: int) -> int:
    say_for_itself(rank, " ".join(sentence.split())[:1000])
    return 2


if __name__ == "__main__":
    sys.exit(main())
