"""One process that fetches the small image set, to be limited or interrupted. Takes a second.

    python -m benchmarks.reliability.fetch MIRROR … [--bytes N] [--as-nobody]

Prints the fingerprint of what it has, or one sentence and status 2; 130 after Ctrl-C.
"""

import argparse
import os
import sys

from benchmarks.reliability.mirror import small_archive
from scratchvae.data.mnist import load_archive
from scratchvae.errors import DataError

NOBODY = 65534


def main() -> int:
    """Fetch as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("mirrors", nargs="+", metavar="MIRROR")
    parser.add_argument("--bytes", type=int, metavar="N", help="no file may become longer")
    parser.add_argument("--as-nobody", action="store_true", help="give up root's rights first")
    args = parser.parse_args()
    import numpy.ma  # noqa: F401 - these before the rights to read them may be gone
    import pooch
    import requests  # noqa: F401

    pooch.os_cache("scratchvae")
    if args.bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (args.bytes, args.bytes))
    if args.as_nobody and os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        print(load_archive(small_archive(*args.mirrors), quiet=True).fingerprint)
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
