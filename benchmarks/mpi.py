"""A step by two ranks beside one by two workers, and over networks. Takes about three minutes.

    python -m benchmarks.mpi [--steps 200] [--rounds 3] [--rates 1000,200] [--json FILE]

The ``gluon`` network, on this machine's cores. *Strong scaling*: batches of 100 and 1,000 by one
process, by one process with two workers, and by two ranks that share memory; with two pieces and
with four; by messages, with and without sending gradients while others are computed, and with
MPI's own reduction. *Weak scaling*: a batch of 100 per rank. *Messages*: the time to exchange n
numbers with another rank, in memory and over the network, from which latency and rate are fitted.

*Networks*: two network namespaces joined by a pair of virtual devices, whose rate a token bucket
(``tc tbf``) limits to --rates, in Mbit/s. The model of docs/scaling.md predicts the step from the
latency and rate of the messages and the compute time of one rank alone; both are printed. Needs
root for this part, and leaves it out otherwise.

Every number is the smallest median of --rounds jobs, in which the contenders take turns.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import own_conditions, table, write_json
from benchmarks.models import MODELS
from scratchvae.backend import Backend, get_backend
from scratchvae.config import TrainConfig
from scratchvae.memory import FlatBuffer
from scratchvae.models import VAE, Model
from scratchvae.mpi.exchange import (
    FastExchange,
    MemoryExchange,
    MessageExchange,
    shared_barrier,
)
from scratchvae.mpi.follow import follow, pieces_for
from scratchvae.mpi.ranks import Ranks, connect
from scratchvae.training import Batches, TrainingStep
from scratchvae.training.pieces import ALONE, Exchange, PieceStep

GLUON, IMAGES = MODELS["gluon"], 10_000
SIZES = (1, 1_000, 10_000, 100_000, 300_000, 600_000)  # numbers of a message
LARGE = 100_000  # numbers from which on a message takes its rate
TRIES = 10  # of a message
BY_TCP = {"MPIR_CVAR_NOLOCAL": "1", "UCX_TLS": "tcp,self"}
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
Before = Sequence[Sequence[str]]  # words in front of the program of each rank


class Job(NamedTuple):
    """What the processes of a job compute."""

    batch: int
    ranks: int = 1
    workers: int = 0  # in place of pieces
    pieces: int = 0
    way: str = "memory"  # of WAYS
    steps: int = 200
    compiled: bool = True


WAYS = ("memory", "messages", "overlap", "any order")  # how ranks exchange gradients


# ---- in the processes of a job -------------------------------------------------------------------


def serve(job: Job) -> None:
    """Run a job as one of its ranks; rank 0 prints what it has measured."""
    ranks = connect()
    sharing = job.ranks if job.way == "memory" else 1
    bk = get_backend("cpu", compiled=job.compiled).for_workers(max(job.workers, sharing))
    grey = np.random.default_rng(0).integers(0, 256, (IMAGES, GLUON.pixels), dtype=np.uint8)
    vae = GLUON.vae()
    batches = Batches(bk.array(grey, dtype="uint8"), 255, job.batch, 0)
    model, optimizer = Model(vae, bk, seed=0), TrainConfig().make_optimizer()
    if job.workers:
        step = TrainingStep(model, optimizer, batches, workers=job.workers)
    else:
        exchange = ALONE if ranks is None else exchange_of(job, ranks, bk)
        step = PieceStep(model, optimizer, batches, pieces=job.pieces, exchange=exchange)
    found: dict[str, Any] = {}
    if ranks is not None:
        found["messages"] = {n: exchange_numbers(ranks, n) for n in SIZES}
        if ranks.rank:
            assert isinstance(step, PieceStep)
            follow(ranks, step)
            return
    found["ms"] = time_of(step, job.steps)
    found["parameters"] = vae.layout.padded_size
    print(json.dumps(found))


def exchange_of(job: Job, ranks: Ranks, bk: Backend) -> Exchange:
    """The way between the ranks of a job."""
    if job.way != "memory":
        kind = FastExchange if job.way == "any order" else MessageExchange
        return kind(ranks, overlap=job.way == "overlap")
    barrier = shared_barrier(ranks, bk)
    if barrier is None:
        raise SystemExit("the ranks cannot share memory")
    return MemoryExchange(ranks, barrier)


def time_of(step: TrainingStep, steps: int) -> float:
    """The median milliseconds of a step."""
    step.start_workers()
    step.start_epoch(np.random.default_rng(1).permutation(IMAGES))
    times = []
    with step:
        for t in range(1, steps + 1):
            begun = time.perf_counter()
            step(t, t % step.steps_per_epoch)
            times.append(time.perf_counter() - begun)
    step.close()
    return 1e3 * median(times)


def exchange_numbers(ranks: Ranks, n: int) -> float:
    """The median microseconds in which two ranks give each other n numbers of float32."""
    ours, theirs, other = np.ones(n, np.float32), np.empty(n, np.float32), 1 - ranks.rank
    times = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        comm = ranks.comm
        ranks.wait([comm.Irecv(theirs, other), comm.Isend(ours, other)])
        times.append(time.perf_counter() - begun)
    return 1e6 * median(times)


# ---- jobs ----------------------------------------------------------------------------------------


def run(job: Job, before: Before = (), **env: str) -> dict[str, Any]:
    """What rank 0 of a job measures."""
    program = [sys.executable, "-m", "benchmarks.mpi", "--job", json.dumps(job._asdict())]
    command = program
    if job.ranks > 1:
        launcher = shutil.which(
            "mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        )
        if launcher is None:
            raise SystemExit("there is no mpiexec: pip install mpi4py mpich")
        command = [launcher, "-n", str(job.ranks), *program]
        if before:
            each = (["-n", "1", *words, *program] for words in before)
            command = [launcher, *next(each), *(w for part in each for w in (":", *part))]
    environment = os.environ | ({} if job.workers else ONE_THREAD) | env
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"a job failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def in_turn(jobs: dict[str, Job], rounds: int) -> dict[str, float]:
    """The smallest median of each job, in milliseconds."""
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, job in jobs.items():
            best[name] = min(best[name], run(job)["ms"])
    return best


def contenders(batch: int, steps: int) -> dict[str, Job]:
    """The jobs that compute a batch, by what they are called."""
    default = pieces_for(batch)
    two = Job(batch, ranks=2, pieces=default, steps=steps)
    return {
        "one process": Job(batch, workers=1, steps=steps),
        "two workers": Job(batch, workers=2, steps=steps),
        f"two ranks, {default} pieces": two,
        "… by messages": two._replace(way="messages"),
        "… sent while others are computed": two._replace(way="overlap"),
        "… MPI's own sum": two._replace(way="any order"),
        f"two ranks, {6 - default} pieces": two._replace(pieces=6 - default),
    }


# ---- networks ------------------------------------------------------------------------------------


@contextmanager
def network(rate: int) -> Iterator[list[list[str]]]:
    """Words that run a program in each of two namespaces, joined at ``rate`` Mbit/s."""
    names = [f"bench{os.getpid()}-{k}" for k in range(2)]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "net0", "netns", names[0], "type", "veth", "peer", "name", "net0",
           "netns", names[1])  # fmt: skip
        for k, name in enumerate(names):
            ip("-n", name, "addr", "add", f"10.78.0.{k + 1}/24", "dev", "net0")
            for device in ("lo", "net0"):
                ip("-n", name, "link", "set", device, "up")
            limit = f"tc qdisc add dev net0 root tbf rate {rate}mbit burst 64kb latency 100ms"
            ip("netns", "exec", name, *limit.split())
        while not all(" UP " in ip("-n", name, "-br", "link", "show", "net0") for name in names):
            time.sleep(0.01)  # MPI would find no network
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


# ---- the model -----------------------------------------------------------------------------------


class Link(NamedTuple):
    """A message of n numbers takes latency + n · per_number, in microseconds."""

    latency: float
    per_number: float

    @property
    def megabytes_per_second(self) -> float:
        """The rate of large messages."""
        return 4.0 / self.per_number


def fit(messages: dict[str, float]) -> Link:
    """The latency of the smallest message, and the time per number of the large ones."""
    sizes, times = np.array([[float(n), t] for n, t in messages.items()]).T
    large = sizes >= LARGE
    latency = float(times.min())
    return Link(latency, float(((times[large] - latency) / sizes[large]).mean()))


def exchange_time(parameters: int, ranks: int, link: Link) -> float:
    """Microseconds for the gradients of a step to be added and its parameters to be shared.

    Each rank sends the others their stretches, and its own to all, twice n (R − 1)/R numbers in
    2 (R − 1) messages; the announcement of the step takes one more latency per level of a tree.
    """
    if ranks == 1:
        return 0.0
    numbers = 2 * parameters * (ranks - 1) / ranks
    levels = (ranks - 1).bit_length()
    return numbers * link.per_number + (2 * (ranks - 1) + levels) * link.latency


class Machine(NamedTuple):
    """One core: microseconds per multiplication of the products, and per parameter of a step.

    ``per_parameter`` is writing the gradient and reading the weights, which every rank does;
    ``per_update`` what a rank does for its own stretch alone.
    """

    per_multiplication: float
    per_parameter: float
    per_update: float


def machine_of(strong: dict[str, dict[str, float]], update_ms: float) -> Machine:
    """From the steps of one process at batches of 100 and 1,000, and the update of all."""
    small, large = (1e3 * strong[batch]["one process"] for batch in ("100", "1000"))
    vae = GLUON.vae()
    n, macs = vae.layout.n_parameters, 3 * vae.macs_per_image()
    per_multiplication = (large - small) / (900 * macs)
    per_update = 1e3 * update_ms / n
    fixed = small - 100 * macs * per_multiplication
    return Machine(per_multiplication, max(fixed / n - per_update, 0.0), per_update)


def step_time(vae: VAE, rows: float, ranks: int, machine: Machine, link: Link) -> float:
    """Microseconds of a step of ``rows`` rows per rank."""
    n = vae.layout.n_parameters
    compute = rows * 3 * vae.macs_per_image() * machine.per_multiplication
    own = n * (machine.per_parameter + machine.per_update / ranks)
    return compute + own + exchange_time(n, ranks, link)


def update_time() -> float:
    """The median milliseconds of Adam on the parameters of the network."""
    vae = GLUON.vae()
    bk = get_backend("cpu")
    params, grads = (FlatBuffer(bk, vae.layout) for _ in range(2))
    adam, times = TrainConfig().make_optimizer().bind(bk, params, grads), []
    for t in range(1, 40):
        begun = time.perf_counter()
        adam.step(t)
        times.append(time.perf_counter() - begun)
    return 1e3 * median(times)


NETWORKS = {  # of docs/scaling.md, beside what was measured: latency in µs, rate in MB/s
    "1 Gbit/s": Link(50.0, 4 / 118),
    "10 Gbit/s": Link(20.0, 4 / 1_180),
    "100 Gbit/s": Link(2.0, 4 / 11_800),
}
RANKS = tuple(8 << k for k in range(8))  # 8 to 1,024
PREDICTED = {  # name: model, images in a batch of all ranks
    "gluon, batch 1,000": (GLUON.vae(), 1_000),
    "4,096 wide, batch 4,096": (VAE.mlp(784, (4_096, 4_096), latent_dim=32), 4_096),
    "convolutions of the Keras example, batch 1,024": (MODELS["keras-conv"].vae(), 1_024),
}  # fmt: skip


def speed_up(
    vae: VAE, batch: int, ranks: int, machine: Machine, link: Link, whole: bool
) -> float | None:
    """How many times the images of one rank all compute per second; None if some have no image.

    ``whole``: every rank has a batch, instead of its part of one.
    """
    if ranks > batch and not whole:
        return None
    rows = batch if whole else batch / ranks
    one, step = (step_time(vae, n, r, machine, link) for n, r in ((batch, 1), (rows, ranks)))
    return (ranks if whole else 1) * one / step


def predict(content: dict[str, Any]) -> list[tuple[list[str], list[list[str]]]]:
    """Of each model, head and rows of a table: the speed-up that is expected of more ranks.

    The last column has the most ranks, as a power of two, that do half of what as many lone ones
    would.
    """
    machine, tables = machine_of(content["strong"], content["update_ms"]), []
    for name, (vae, batch) in PREDICTED.items():
        rows = []
        for (network, link), whole in product(NETWORKS.items(), (False, True)):
            gains = {1 << k: speed_up(vae, batch, 1 << k, machine, link, whole) for k in range(11)}
            most = max(r for r, gain in gains.items() if gain is not None and 2 * gain >= r)
            cells = ["" if gains[r] is None else f"{gains[r]:.1f}" for r in RANKS]
            rows.append(["… a whole batch each" if whole else network, *cells, f"{most:,}"])
        one = step_time(vae, batch, 1, machine, NETWORKS["1 Gbit/s"]) / 1e3
        about = f"{name}: {vae.layout.n_parameters / 1e6:.1f} M parameters, {one:.0f} ms"
        tables.append(([about, *(f"× {r:,}" for r in RANKS), "half from"], rows))
    return tables


# ---- the table -----------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write JSON; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", default="1000,200")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--predict", type=Path, metavar="FILE",
                        help="print what the numbers of an earlier run predict")  # fmt: skip
    args = parser.parse_args(argv)
    if args.predict:
        content: dict[str, Any] = json.loads(args.predict.read_text())
        print("\n\n".join(table(*each) for each in predict(content)))
        return 0
    if args.job:
        serve(Job(**json.loads(args.job)))
        return 0
    content = own_conditions() | {"strong": {}, "networks": {}}
    content["update_ms"] = update_time()
    for batch in (100, 1_000):
        steps = args.steps if batch == 100 else max(args.steps // 5, 10)
        times = in_turn(contenders(batch, steps), args.rounds)
        content["strong"][str(batch)] = times
        workers = times["two workers"]
        rows = [[name, f"{ms:.2f}", f"{ms / workers:.2f}"] for name, ms in times.items()]
        print(table([f"batch {batch}", "ms", "÷ two workers"], rows), flush=True)
    weak = {
        "one rank, batch 100": Job(100, pieces=1, steps=args.steps),
        "two ranks, batch 200": Job(200, ranks=2, pieces=2, steps=args.steps),
    }
    content["weak"] = in_turn(weak, args.rounds)
    print(table(["weak scaling", "ms"], [[k, f"{v:.2f}"] for k, v in content["weak"].items()]))
    measure_messages(content)
    write_json(args.json, content)
    if os.geteuid() == 0:
        measure_networks(content, [int(rate) for rate in args.rates.split(",")], args.steps // 4)
    write_json(args.json, content)
    print("\n\n".join(table(*each) for each in predict(content)))
    return 0


def measure_messages(content: dict[str, Any]) -> None:
    """Messages between two ranks of this machine: the time of the reduction by size."""
    job = Job(100, ranks=2, pieces=2, way="messages", steps=10)
    found = {"memory": run(job), "TCP, one machine": run(job, **BY_TCP)}
    content["messages"] = {name: each["messages"] for name, each in found.items()}
    links = {name: fit(messages) for name, messages in content["messages"].items()}
    content["links"] = {name: link._asdict() for name, link in links.items()}
    rows = [[f"{int(n):,}", *(f"{m[n]:,.0f}" for m in content["messages"].values())]
            for n in map(str, SIZES)]  # fmt: skip
    print(table(["numbers", *(f"µs, {name}" for name in found)], rows))
    for name, link in links.items():
        print(f"{name}: {link.latency:.0f} µs, then {link.megabytes_per_second:,.0f} MB/s")


def measure_networks(content: dict[str, Any], rates: Sequence[int], steps: int) -> None:
    """Steps over networks of these rates, beside the model's prediction."""
    rows = []
    for rate, batch, number in zip((*rates, rates[0]), (100, 100, 1_000), count(), strict=False):
        job = Job(batch, ranks=2, pieces=2, way="messages", steps=max(steps, 10))
        alone = run(job._replace(ranks=1, batch=batch // 2, pieces=1))["ms"]
        with network(rate) as before:
            for overlap in (False, True):
                way = "overlap" if overlap else "messages"
                found = run(job._replace(way=way), before, **BY_TCP, UCX_NET_DEVICES="net0")
                link = fit(found["messages"])
                model = alone + exchange_time(found["parameters"], 2, link) / 1e3
                name = f"{rate} Mbit/s, batch {batch}" + ", overlap" * overlap
                content["networks"][f"{number}: {name}"] = {
                    "measured_ms": found["ms"], "model_ms": model, "alone_ms": alone,
                    "link": link._asdict(),
                }  # fmt: skip
                off = f"{model / found['ms'] - 1:+.0%}"
                rows.append([name, f"{found['ms']:.1f}", f"{model:.1f}", off])
    print(table(["network", "ms", "model", "off by"], rows))


if __name__ == "__main__":
    sys.exit(main())
