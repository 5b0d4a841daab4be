"""Clipping: a gradient longer than a limit is shortened to it, as a whole  (E44)."""

from scratchvae.backend import Array, Backend, fusible


@fusible("measure norm")
def measure_norm(bk: Backend, g: Array, scale: Array, squares: Array) -> None:
    """scale = max |gᵢ|, squares = Σ (gᵢ / scale)²: ‖g‖ = scale √squares  (E44).

    No square leaves the range of the float type, however large or small ``g`` is: (n,) -> (1,) and
    (1,), to be written to. Both are 0 where ``g`` is; where one of its numbers is not finite,
    ``squares`` is not either. Another form may take another scale of that size, or 1 where the
    squares of ``g`` need none.
    """
    xp = bk.xp
    scale[...] = xp.max(xp.abs(g))
    squares[...] = xp.sum((g / xp.where(scale == 0, 1, scale)) ** 2)


@fusible("clip gradient")
def clip_gradient(bk: Backend, g: Array, scales: Array, squares: Array, limit: float) -> None:
    """g ← g · min(1, limit / ‖g‖), in place  (E44).

    ``scales`` and ``squares`` (k,) are the norms of all parts of the gradient, as
    :func:`measure_norm` leaves them; ``g`` is one of the parts. A norm that is not finite makes
    all of ``g`` NaN, which the training loop will find.
    """
    xp = bk.xp
    scale = xp.max(scales.real)
    scale = xp.where(scale == 0, 1, scale)
    length = xp.sqrt(xp.sum(squares * (scales / scale) ** 2))  # ‖g‖ / scale
    short = (limit / scale / length).real >= 1
    g[...] = xp.where(short, g, g / scale * (limit / length))
