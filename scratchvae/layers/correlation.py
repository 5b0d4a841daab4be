"""What a convolution and its transpose are made of: one linear map, its adjoint, its derivative.

There are two grids of pixels: a larger one with C channels, a smaller one with O. A kernel K
joins them, (kh, kw, C, O), stored as a matrix of kh · kw · C rows. ``forward`` is the correlation

    small[p, q, o] = Σ_ijc big[s·p − t + i, r·q − l + j, c] K[i, j, c, o] ,

``adjoint`` the same sum read the other way round, and ``kernel_grad`` ∂/∂K. All three are
matrix products on *windows* (im2col): each row holds all pixels that one result needs. Windows
repeat a pixel kh · kw times, so they are made for a few images at a time, in a buffer that stays
in cache. Every sum has a fixed order, so that a run can be repeated to the bit.
"""

import math
from collections.abc import Iterator

from scratchvae.backend import Array, Backend
from scratchvae.layers.base import WHOLE
from scratchvae.layers.grid import Axis, Phase
from scratchvae.memory import Shape, Workspace

MIN_CHANNEL_RATIO = 4  # C / O from which on multiplying first pays (measured), at stride 1


class Correlation:
    """A correlation with its adjoint and kernel gradient, between (B, H, W, C) and (B, h, w, O).

    ``K``: the kernel (kh · kw · C, O) as a matrix.
    """

    def __init__(self, y: Axis, x: Axis, C: int, O: int) -> None:  # noqa: E741
        self.y, self.x, self.C, self.O = y, x, C, O
        self.stride = (y.stride, x.stride)
        self.taps = y.kernel * x.kernel
        self.rows = self.taps * C  # of K as a matrix
        self.big: Shape = (y.big, x.big, C)
        self.small: Shape = (y.small, x.small, O)
        self.padded: Shape = (y.padded, x.padded, C)
        self.small_padded: Shape = (y.small_padded, x.small_padded, O)
        self.phases = [(a, b) for a in y.phases() for b in x.phases()]
        self.products_first = MIN_CHANNEL_RATIO * y.stride * x.stride * O <= C

    # ---- small = big ∗ K + b -----------------------------------------------------------------

    def forward(
        self, bk: Backend, K: Array, bias: Array | None, big: Array, small: Array, work: "Work"
    ) -> None:
        """small = big ∗ K + bias: (B, H, W, C) -> (B, h, w, O)."""
        work.clear(work.padded)
        if self.products_first:
            for t in range(self.taps):
                work.columns[:, self._columns(t)] = K[t * self.C : (t + 1) * self.C]
        for images in work.blocks(big):
            out, padded = small[images], work.pad(big[images])
            if self.products_first:  # big[P, Q] · K[i, j] of all pixels and taps, then the sum
                products = work.products[: len(out)]  # (n, Hp, Wp, taps, O)
                bk.gemm(matrix(padded), work.columns, matrix(products, self.taps * self.O))
                out[...] = products[self._seen(0)][..., 0, :]
                for t in range(1, self.taps):
                    out += products[self._seen(t)][..., t, :]
            else:
                windows = work.windows((len(out), *self.small[:2], *self._kernel()))
                bk.windows(padded, self.stride, windows)
                bk.gemm(matrix(windows, self.rows), K, matrix(out))
            if bias is not None:
                out += bias

    # ---- big = Kᵀ ∗ small + b ----------------------------------------------------------------

    def adjoint(
        self, bk: Backend, K: Array, bias: Array | None, small: Array, big: Array, work: "Work"
    ) -> None:
        """big = Kᵀ ∗ small + bias, in gather form: (B, h, w, O) -> (B, H, W, C).

        Padded pixel s·Q + a of the larger grid is Σ_m small[Q − m] K[a + s·m]: a correlation of
        the smaller grid with every s-th tap, in reverse order; another one for each a < s.
        """
        work.clear(work.small_padded)
        for phase, kernel in zip(self.phases, work.kernels, strict=True):
            self._reverse(K, phase, kernel)
        for images in work.blocks(small):
            out, padded = big[images], work.pad_small(small[images])
            n = len(out)
            for (a, b), kernel in zip(self.phases, work.kernels, strict=True):
                every = (
                    slice(None),
                    slice(a.start, None, self.stride[0]),
                    slice(b.start, None, self.stride[1]),
                )
                taps = a.taps * b.taps * self.O
                if not taps:  # a stride beyond the kernel: no tap reaches these pixels
                    out[every] = 0
                    continue
                windows = work.windows((n, a.pixels, b.pixels, a.taps, b.taps, self.O))
                some = (slice(None), _reach(a), _reach(b))
                bk.windows(padded[some], (1, 1), windows)
                part = out if len(self.phases) == 1 else work.part((n, a.pixels, b.pixels, self.C))
                bk.gemm(matrix(windows, taps), kernel.reshape(taps, self.C), matrix(part))
                if part is not out:
                    out[every] = part
            if bias is not None:
                out += bias

    def _reverse(self, K: Array, phase: tuple[Phase, Phase], kernel: Array) -> None:
        """The taps of a phase, the last one first, each transposed: (taps, taps, O, C)."""
        (a, b), (s, r) = phase, self.stride
        K4 = K.reshape(*self._kernel(), self.O)
        for i in range(a.taps):
            for j in range(b.taps):
                kernel[a.taps - 1 - i, b.taps - 1 - j] = K4[a.first + s * i, b.first + r * j].T

    # ---- dK = bigᵀ ∗ small -------------------------------------------------------------------

    def kernel_grad(
        self, bk: Backend, big: Array, small: Array, dK: Array, work: "Work", rows: slice = WHOLE
    ) -> None:
        """dK = Σ_npq big[n, s·p − t + i, r·q − l + j, c] small[n, p, q, o], for some rows ijc."""
        work.clear(work.padded)
        start, stop, _ = rows.indices(self.rows)
        if self.products_first:
            self._kernel_grad_by_products(bk, big, small, dK, work, slice(start, stop))
            return
        # Some rows of K need the windows of those kernel rows i in which they lie.
        row = self.x.kernel * self.C
        first, last = start // row, -(-stop // row)
        columns = slice(start - first * row, stop - first * row)
        out, part = dK[start:stop], work.gradient[start:stop]
        for images in work.blocks(big):
            right, padded = small[images], work.pad(big[images])
            windows = work.windows((len(right), *self.small[:2], last - first, *self._kernel()[1:]))
            bk.windows(padded[:, first:], self.stride, windows)
            left = matrix(windows, (last - first) * row)[:, columns]
            bk.gemm(left.T, matrix(right), part if images.start else out)
            if images.start:
                out += part

    def _kernel_grad_by_products(
        self, bk: Backend, big: Array, small: Array, dK: Array, work: "Work", rows: slice
    ) -> None:
        """The smaller grid's pixels go where each tap meets them; one product gives all taps."""
        work.products.fill(0)
        for images in work.blocks(big):
            placed = work.products[: images.stop - images.start]  # (n, Hp, Wp, taps, O)
            for t in range(self.taps):
                placed[self._seen(t)][..., t, :] = small[images]
            left, right = matrix(work.pad(big[images])), matrix(placed, self.taps * self.O)
            bk.gemm(left.T, right, work.columns_part if images.start else work.columns)
            if images.start:
                work.columns += work.columns_part
        for t in range(self.taps):
            work.gradient[t * self.C : (t + 1) * self.C] = work.columns[:, self._columns(t)]
        dK[rows] = work.gradient[rows]

    # ---- shapes ------------------------------------------------------------------------------

    def _kernel(self) -> Shape:
        return self.y.kernel, self.x.kernel, self.C

    def _columns(self, t: int) -> slice:
        return slice(t * self.O, (t + 1) * self.O)

    def _seen(self, t: int) -> tuple[slice, ...]:
        """The pixels of the padded larger grid that tap t meets."""
        i, j = divmod(t, self.x.kernel)
        s, r = self.stride
        return slice(None), slice(i, i + self.y.small * s, s), slice(j, j + self.x.small * r, r)


def matrix(a: Array, columns: int | None = None) -> Array:
    """A view of ``a`` as a matrix with ``columns`` columns, by default those of its last axis."""
    return a.reshape(-1, a.shape[-1] if columns is None else columns)


def _reach(p: Phase) -> slice:
    """The padded smaller grid's pixels that a phase's windows see."""
    return slice(p.origin, p.origin + p.pixels + p.taps - 1)


class Work:
    """The scratch buffers of a correlation, private to the worker that owns the workspace's rows.

    They hold the windows of ``n`` images at a time, few enough to stay in cache.
    """

    def __init__(self, c: Correlation, workspace: Workspace, per: int = 1) -> None:
        self.map = c
        self.before, self.lead = (c.y.before, c.x.before), (c.y.lead, c.x.lead)
        windows = [c.small[0] * c.small[1] * c.rows]
        windows += [a.pixels * b.pixels * a.taps * b.taps * c.O for a, b in c.phases]
        parts = [a.pixels * b.pixels * c.C for a, b in c.phases] if len(c.phases) > 1 else [0]
        self.n = n = max(1, min(workspace.n_rows * per, workspace.bk.block_size // max(windows)))

        def own(role: str, *shape: int) -> Array:
            return workspace.private(f"correlation.{role}", *shape)

        self.padded = own("padded", n, *c.padded) if c.padded != c.big else None
        grown = c.small_padded != c.small
        self.small_padded = own("small_padded", n, *c.small_padded) if grown else None
        self._windows, self._part = own("windows", n * max(windows)), own("part", n * max(parts))
        self._pixels = own("pixels", max(math.prod(c.big), math.prod(c.small)))
        self.gradient = own("gradient", c.rows, c.O)
        self.kernels = [
            own(f"kernel{a.first},{b.first}", a.taps, b.taps, c.O, c.C) for a, b in c.phases
        ]
        if c.products_first:
            self.products = own("products", n, *c.padded[:2], c.taps, c.O)
            self.columns = own("columns", c.C, c.taps * c.O)
            self.columns_part = own("columns_part", c.C, c.taps * c.O)

    def blocks(self, images: Array) -> Iterator[slice]:
        """Slices of ``images``, ``n`` at a time."""
        count = images.shape[0]
        for start in range(0, count, self.n):
            yield slice(start, min(start + self.n, count))

    def windows(self, shape: Shape) -> Array:
        """The buffer for windows, as an array of this shape."""
        return self._windows[: math.prod(shape)].reshape(shape)

    def part(self, shape: Shape) -> Array:
        """The buffer for a part of the result, as an array of this shape."""
        return self._part[: math.prod(shape)].reshape(shape)

    def sum_pixels(self, bk: Backend, images: Array, out: Array) -> None:
        """out = Σ_nPQ images[n, P, Q, :], summed over n first, along long contiguous rows."""
        each = self._pixels[: math.prod(images.shape[1:])]
        bk.sum_rows(images.reshape(images.shape[0], -1), each)
        bk.sum_rows(each.reshape(-1, images.shape[-1]), out)

    def clear(self, padded: Array | None) -> None:
        """Fill a padded buffer with zeros; afterwards only its inside is written."""
        if padded is not None:
            padded.fill(0)

    def pad(self, big: Array) -> Array:
        """The images of the larger grid in the padded buffer, with zeros around them."""
        return big if self.padded is None else _inside(self.padded, self.before, big)

    def pad_small(self, small: Array) -> Array:
        """The images of the smaller grid in the padded buffer, with zeros around them."""
        return small if self.small_padded is None else _inside(self.small_padded, self.lead, small)


def _inside(padded: Array, corner: tuple[int, int], images: Array) -> Array:
    n, height, width, _ = images.shape
    (top, left), out = corner, padded[:n]
    out[:, top : top + height, left : left + width] = images
    return out
