"""Jobs of several ranks, as the tests start them: the launcher, the ranks' processes, networks."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import scratchvae

ROOT = Path(scratchvae.__file__).parent.parent
PROGRAM = (sys.executable, "-m", "scratchvae")
LIMIT = 60.0  # seconds until a job counts as hanging
SMALL = ("--hidden", "16", "--no-figures", "--no-compiled", "--subset", "first:230")
NETWORK = {"MPIR_CVAR_NOLOCAL": "1", "UCX_TLS": "tcp,self"}  # messages go by TCP, not by memory


def launcher() -> str:
    """The mpiexec beside this Python, or the one in the path."""
    found = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert found
    return found


Before = Sequence[Sequence[str]]


def start(
    ranks: int, *arguments: object, cwd: Path, before: Before = (), **env: str
) -> subprocess.Popen[str]:
    """Start a job; ``before``: words in front of each rank's program, such as another namespace."""
    words = [*PROGRAM, *map(str, arguments)]
    if not before:
        return launch(["-n", str(ranks), *words], cwd, **env)
    return launch(join([*each, *words] for each in before), cwd, **env)


def join(programs: Iterable[Sequence[str]]) -> list[str]:
    """The launcher's words for one rank of each program."""
    found: list[str] = []
    for program in programs:
        found += [":"] * bool(found) + ["-n", "1", *program]
    return found


def launch(words: Sequence[str], cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start mpiexec with these words."""
    return subprocess.Popen(
        [launcher(), *words],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(job: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a job, which must end by itself."""
    try:
        out, err = job.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        job.kill()
        raise AssertionError(f"the job hangs: {job.communicate()[1][-500:]}") from None
    return job.returncode, out, err


def run(
    ranks: int, *arguments: object, cwd: Path, before: Before = (), **env: str
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a job."""
    return finish(start(ranks, *arguments, cwd=cwd, before=before, **env))


def computing(job: subprocess.Popen[str]) -> dict[int, int]:
    """The processes of a job that compute, by rank: the children of those that MPI has started."""
    found = {}
    for child in descendants(job.pid):
        rank, parents = rank_of(child), parent_of(child)
        if rank is not None and parents and rank_of(parents) == rank:
            found[rank] = child
    return found


def descendants(process: int) -> Iterator[int]:
    for each in Path("/proc").glob("[0-9]*"):
        if parent_of(int(each.name)) == process:
            yield int(each.name)
            yield from descendants(int(each.name))


def parent_of(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def rank_of(process: int) -> int | None:
    try:
        words = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((int(w[9:]) for w in words if w.startswith(b"PMI_RANK=")), None)


def wait_for(path: Path, job: subprocess.Popen[str]) -> None:
    """Wait until a job has written a file."""
    until = time.monotonic() + LIMIT
    while not path.exists():
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < until, f"{path} does not appear"
        time.sleep(0.02)


def send(job: subprocess.Popen[str], rank: int, number: signal.Signals) -> float:
    """Send a signal to the process of a rank that computes; the time."""
    os.kill(computing(job)[rank], number)
    return time.monotonic()


def checkpoint(folder: Path) -> str:
    """SHA-256 of a run's checkpoint."""
    return hashlib.sha256((folder / "checkpoint.npz").read_bytes()).hexdigest()


@contextmanager
def namespaces(count: int) -> Iterator[list[tuple[str, ...]]]:
    """Words that run a program in each of ``count`` network namespaces, joined by one bridge.

    Where the system refuses namespaces, nothing: the ranks then talk by TCP on one machine.
    """
    names = [f"scratchvae{os.getpid()}-{k}" for k in range(count)]
    bridge = f"br{os.getpid()}"
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("link", "set", bridge, "up")
        for k, name in enumerate(names):
            ip("netns", "add", name)
            port = f"p{k}-{os.getpid()}"
            ip("link", "add", port, "type", "veth", "peer", "name", "net0", "netns", name)
            ip("link", "set", port, "master", bridge, "up")
            ip("-n", name, "addr", "add", f"10.77.0.{k + 1}/24", "dev", "net0")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "net0", "up")
    except (OSError, subprocess.CalledProcessError):
        yield []
    else:
        yield [("ip", "netns", "exec", name) for name in names]
    finally:
        for words in (*(("netns", "del", name) for name in names), ("link", "del", bridge)):
            subprocess.run(["ip", *words], capture_output=True, check=False)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, check=True, text=True).stdout
