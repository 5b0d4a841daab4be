"""What the hardware asks for: the matrix products of a step and one pass over p, g, m, v.

Nothing is computed between them, so no step made of these products can be faster. The best of
two layouts of the weights, (inputs, outputs) and (outputs, inputs), and of three ways to use the
cores: threads inside BLAS, one thread, and one worker a core with its share of the rows.
"""

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.contenders.common import Job
from scratchvae.backend import get_backend
from scratchvae.memory import FlatBuffer, Layout

BLOCK = 32_768  # floats of each of p, g, m, v: together half of a typical L2 cache
WAYS = ("blas threads", "one thread", "workers")


class Products:
    """All products of a step and the pass over the parameters, in one layout of the weights."""

    def __init__(self, job: Job, transposed: bool) -> None:
        bk, batch = get_backend("cpu"), job.spec.batch
        rng = np.random.default_rng(job.seed)
        self.layers = job.spec.layers
        self.transposed = transposed
        self.batch = batch
        layout = Layout({name: (n, m)[:: -1 if transposed else 1] for name, n, m in self.layers})
        self.p, self.g, self.m, self.v = (FlatBuffer(bk, layout) for _ in range(4))
        self.p.flat[...] = rng.uniform(-0.05, 0.05, layout.size)
        self.m.flat[...], self.v.flat[...] = -1, 1  # the pass leaves p as it is, and finite
        self.x, self.dy = {}, {}
        for name, n, m in self.layers:
            self.x[name], self.dy[name] = bk.empty((batch, n)), bk.empty((batch, m))
            self.x[name][...] = rng.uniform(size=(batch, n))
            self.dy[name][...] = rng.uniform(-0.01, 0.01, size=(batch, m))
        self.y = {name: bk.empty((batch, m)) for name, _, m in self.layers}
        self.dx = {name: bk.empty((batch, n)) for name, n, _ in self.layers}

    def weights(self, name: str) -> NDArray:
        """W as (inputs, outputs), in whichever way it lies in memory."""
        return self.p[name].T if self.transposed else self.p[name]

    def activations(self, rows: slice) -> None:
        """Forward through all layers, and the chain back through all but the first."""
        for name, _, _ in self.layers:
            np.matmul(self.x[name][rows], self.weights(name), out=self.y[name][rows])
        for name, _, _ in self.layers[:0:-1]:
            np.matmul(self.dy[name][rows], self.weights(name).T, out=self.dx[name][rows])

    def gradients(self, share: Callable[[int], slice]) -> None:
        """dW of a share of each layer's weights, last layer first."""
        for name, _, _ in reversed(self.layers):
            a, b = self.x[name], self.dy[name]
            if self.transposed:
                a, b = b, a
            part = share(a.shape[1])
            np.matmul(a[:, part].T, b, out=self.g[name][part])

    def update(self, part: slice) -> None:
        """Read p, g, m and v once, write p, m and v once; block by block, in cache between."""
        for start in range(part.start, part.stop, BLOCK):
            block = slice(start, min(start + BLOCK, part.stop))
            p, g, m, v = (b.flat[block] for b in (self.p, self.g, self.m, self.v))
            np.minimum(m, g, out=m)
            np.maximum(v, g, out=v)
            np.maximum(p, m, out=p)


class Contender:
    """The best layout and way, chosen before the timing begins."""

    granularity = 1

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tried: dict[str, list[float]] = {}
        ways = WAYS if job.threads > 1 else ("one thread",)
        choices = {
            f"{way}, W {'(O, I)' if transposed else '(I, O)'}": (transposed, way)
            for transposed in (False, True)
            for way in ways
        }
        n = min(max(3, round(2e9 / job.spec.flops)), 100)  # about 20 ms at 100 GFLOP/s
        for _ in range(5):
            for name, choice in choices.items():
                self.choose(*choice)
                self.run(2)
                started = time.perf_counter()
                self.run(n)
                self.tried.setdefault(name, []).append((time.perf_counter() - started) / n)
        self.variant = min(choices, key=lambda name: min(self.tried[name]))
        self.choose(*choices[self.variant])

    def choose(self, transposed: bool, way: str) -> None:
        """Use a layout and a way."""
        self.products, self.way = Products(self.job, transposed), way

    def run(self, n: int) -> float:
        """n steps."""
        products, threads = self.products, self.job.threads
        whole = slice(0, products.p.flat.size)
        with threadpool_limits(threads if self.way == "blas threads" else 1, user_api="blas"):
            if self.way == "one thread":
                for _ in range(n):
                    products.activations(slice(None))
                    products.gradients(lambda size: slice(0, size))
                    products.update(whole)
            elif self.way == "blas threads":
                with Workers(threads) as workers:
                    for _ in range(n):
                        products.activations(slice(None))
                        products.gradients(lambda size: slice(0, size))
                        workers.do(lambda k: products.update(part_of(whole.stop, k, threads)))
            else:
                with Workers(threads) as workers:
                    for _ in range(n):
                        workers.do(
                            lambda k: products.activations(part_of(products.batch, k, threads))
                        )
                        workers.do(lambda k: self._share(k))
        return 0.0

    def _share(self, k: int) -> None:
        threads = self.job.threads
        self.products.gradients(lambda size: part_of(size, k, threads))
        self.products.update(part_of(self.products.p.flat.size, k, threads))


def part_of(size: int, k: int, parts: int) -> slice:
    """The k-th of ``parts`` equal parts."""
    return slice(size * k // parts, size * (k + 1) // parts)


class Workers:
    """Threads that do the same thing with different numbers and meet when all are done."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.locks = [(threading.Lock(), threading.Lock()) for _ in range(1, count)]
        self.task: Callable[[int], None] | None = None

    def __enter__(self) -> "Workers":
        self.threads = []
        for k, (go, done) in enumerate(self.locks, start=1):
            go.acquire()
            done.acquire()
            self.threads.append(threading.Thread(target=self._serve, args=(k, go, done)))
            self.threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.task = None
        for (go, _done), thread in zip(self.locks, self.threads, strict=True):
            go.release()
            thread.join()
            _done.release()

    def do(self, task: Callable[[int], None]) -> None:
        """task(0) here, task(1) … elsewhere."""
        self.task = task
        for go, _ in self.locks:
            go.release()
        task(0)
        for _, done in self.locks:
            done.acquire()

    def _serve(self, k: int, go: threading.Lock, done: threading.Lock) -> None:
        while True:
            go.acquire()
            if self.task is None:
                return
            self.task(k)
            done.release()
