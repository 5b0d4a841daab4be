"""The parent of a rank's process: it sees how the rank ends, and gives rank 0 time to say so.

A launcher ends a job as soon as one of its processes is killed, without a word of ours. So the
process that mpiexec has started forks, before anything large is imported: its child computes, and
the parent only waits. If the child is killed, fails, or stays stopped, the parent lives on for a
moment: rank 0 sees the child's connection closed, says which rank it was, and ends the job.
"""

import ctypes
import mmap
import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

LOST = 2  # the exit code of a job that has lost a rank
OWN_WORDS = 1.0  # seconds that rank 0 has to end by itself, with a sentence of its own
GRACE = 3.0  # seconds in which rank 0 speaks before the launcher learns that a rank has died
TO_BE_READ = 0.2  # seconds in which the launcher passes on what was said last
STOPPED = 4.0  # seconds after which a stopped process counts as lost
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1

_agreed = mmap.mmap(-1, 1)  # shared with the child, who writes 1: all ranks end now


def agree_to_end() -> None:
    """Say to the parent that the whole job ends, and that the exit code is its code."""
    _agreed[0] = 1


def guard(rank: int) -> None:
    """Return in a child; this process waits for it, and ends as it does.

    If the child fails alone, this process ends the job, which may still wait for the child.
    """
    parent, child = os.getpid(), os.fork()
    if child == 0:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(LOST)
        os.setpgid(0, 0)  # else a launcher's signal to the group would arrive twice
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    ended = wait_for(child)
    if ended == 0 or (ended > 0 and _agreed[0]):
        os._exit(ended)
    if rank:
        time.sleep(GRACE)  # rank 0 ends the job meanwhile, unless it had finished and was leaving
    if ended < 0:
        why = f"rank {rank} was ended by {name_of(-ended)}"
        say(f"{why}; the job ends, and what is on disk is whole")
    abort(LOST if ended < 0 else ended)


def abort(code: int) -> NoReturn:
    """End this process, and with it the job, which exits with ``code``.

    MPICH's launcher would call the processes that it then kills the reason, unless it is told the
    code as MPI_Abort does, which a thread may not call beside another that waits for a message.
    """
    launcher = os.environ.get("PMI_FD", "")
    if launcher.isdecimal():
        with suppress(OSError):
            time.sleep(TO_BE_READ)
            os.write(int(launcher), f"cmd=abort exitcode={code}\n".encode())
            time.sleep(GRACE)  # it is about to end this process
    os._exit(code)


def wait_for(child: int) -> int:
    """The exit code of a child, or the negative number of the signal that has ended it.

    A child that stays stopped is killed.
    """
    stopped_at = 0.0
    while True:
        options = os.WUNTRACED | os.WCONTINUED | (os.WNOHANG if stopped_at else 0)
        found, status = os.waitpid(child, options)
        if not found:
            if time.monotonic() - stopped_at > STOPPED:
                os.kill(child, signal.SIGKILL)
                stopped_at = 0.0
            time.sleep(0.05)
        elif os.WIFSTOPPED(status):
            stopped_at = time.monotonic()
        elif os.WIFCONTINUED(status):
            stopped_at = 0.0
        else:
            return os.waitstatus_to_exitcode(status)


def name_of(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def say(sentence: str) -> None:
    """One line on stderr, by whichever process of a job that ends."""
    os.write(2, f"scratchvae: {sentence}\n".encode())


def say_for_itself(rank: int, sentence: str) -> None:
    """Why a rank fails of which rank 0 does not know yet; rank 0 may have the same to say."""
    if rank:
        time.sleep(OWN_WORDS)
        sentence = f"rank {rank} on {os.uname().nodename} cannot take part: {sentence}"
    say(sentence)
