"""What the hardware asks for: the matrix products of a step and one pass over p, g, m, v.

Nothing is computed between them, so no step made of these products can be faster. The best of
two layouts of the weights, (inputs, outputs) and (outputs, inputs), and of three ways to use the
cores: threads inside BLAS, one thread, and one worker a core with its share of the rows.

Convolutions are products of windows (im2col), a few images at a time, so that the windows stay in
cache: always the same ones. Left out is what it takes to make the windows, to fold them up again
in the input gradients, to read and write the images themselves, and to add up the blocks'
gradients.
"""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.contenders.common import Job
from scratchvae.backend import get_backend
from scratchvae.memory import FlatBuffer, Layout

BLOCK = 32_768  # floats of each of p, g, m, v: together half of a typical L2 cache
WINDOWS = 2**19  # floats: our own step's measure of what stays in cache
WAYS = ("blas threads", "one thread", "workers")


class Products:
    """All products of a step and the pass over the parameters, in one layout of the weights.

    A layer multiplies (rows, n) by (n, m). Its buffers hold all rows of a dense layer; of a
    convolution a block for each worker, used over and over.
    """

    def __init__(self, job: Job, transposed: bool) -> None:
        bk = get_backend("cpu")
        rng = np.random.default_rng(job.seed)
        self.names = [layer.name for layer in job.spec.weighted]
        self.of_data = job.spec.of_data
        self.transposed = transposed
        products = job.spec.products
        layout = Layout({name: (n, m)[:: -1 if transposed else 1] for name, _, n, m in products})
        self.p, self.g, self.m, self.v = (FlatBuffer(bk, layout) for _ in range(4))
        self.p.flat[...] = rng.uniform(-0.05, 0.05, layout.padded_size)
        self.m.flat[...], self.v.flat[...] = -1, 1  # the pass leaves p as it is, and finite
        self.rows = {name: rows for name, rows, _, _ in products}
        self.block: dict[str, int] = {}  # rows; none for a dense layer, whose rows are all there
        self.x, self.dy, self.y, self.dx = ({} for _ in range(4))
        for layer, (name, rows, n, m) in zip(job.spec.weighted, products, strict=True):
            held = rows
            if layer.kind != "dense":
                pixels = layer.product[0]  # of an image
                self.block[name] = pixels * max(1, WINDOWS // (pixels * max(n, m)))
                held = self.block[name] * job.threads
            self.x[name], self.dy[name] = bk.empty((held, n)), bk.empty((held, m))
            self.x[name][...] = rng.uniform(size=(held, n))
            self.dy[name][...] = rng.uniform(-0.01, 0.01, size=(held, m))
            self.y[name], self.dx[name] = bk.empty((held, m)), bk.empty((held, n))

    def weights(self, name: str) -> NDArray:
        """W as (inputs, outputs), in whichever way it lies in memory."""
        return self.p[name].T if self.transposed else self.p[name]

    def blocks(self, name: str, k: int, parts: int) -> Iterator[slice]:
        """The rows of worker k of ``parts``, a block at a time."""
        part = part_of(self.rows[name], k, parts)
        block = self.block.get(name)
        if block is None:
            yield part
            return
        for start in range(part.start, part.stop, block):
            yield slice(k * block, k * block + min(block, part.stop - start))

    def activations(self, k: int = 0, parts: int = 1) -> None:
        """Forward through all layers, and the input gradients back to all that is not data."""
        for name in self.names:
            for rows in self.blocks(name, k, parts):
                np.matmul(self.x[name][rows], self.weights(name), out=self.y[name][rows])
        for name in reversed(self.names):
            if name in self.of_data:
                continue
            for rows in self.blocks(name, k, parts):
                np.matmul(self.dy[name][rows], self.weights(name).T, out=self.dx[name][rows])

    def gradients(self, k: int = 0, parts: int = 1) -> None:
        """dW of a share of each layer's weights, last layer first."""
        for name in reversed(self.names):
            a, b = self.x[name], self.dy[name]
            if self.transposed:
                a, b = b, a
            part = part_of(a.shape[1], k, parts)
            for rows in self.blocks(name, 0, 1):
                np.matmul(a[rows, part].T, b[rows], out=self.g[name][part])

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
        n = min(max(1, round(2e9 / job.spec.flops)), 100)  # about 20 ms at 100 GFLOP/s
        for _ in range(5):
            for name, choice in choices.items():
                self.choose(*choice)
                self.run(min(n, 2))
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
        size = products.p.flat.size
        with threadpool_limits(threads if self.way == "blas threads" else 1, user_api="blas"):
            if self.way == "one thread":
                for _ in range(n):
                    products.activations()
                    products.gradients()
                    products.update(slice(0, size))
            elif self.way == "blas threads":
                with Workers(threads) as workers:
                    for _ in range(n):
                        products.activations()
                        products.gradients()
                        workers.do(lambda k: products.update(part_of(size, k, threads)))
            else:
                with Workers(threads) as workers:
                    for _ in range(n):
                        workers.do(lambda k: products.activations(k, threads))
                        workers.do(lambda k: self._share(k))
        return 0.0

    def _share(self, k: int) -> None:
        threads = self.job.threads
        self.products.gradients(k, threads)
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
