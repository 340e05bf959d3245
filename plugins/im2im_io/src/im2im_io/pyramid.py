"""Resolution levels of an image, each half as high and wide as the one before. Numpy only."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def level_shapes(axes: str, shape: tuple[int, ...], smallest: int, levels: int | None) -> list[tuple[int, ...]]:
    """Shapes from fine to coarse; Y and X are halved and rounded up.

    Args:
        axes: one letter for each dimension.
        shape: of the finest.
        smallest: without `levels`, the first level whose Y and X are no longer than this is the last.
        levels: how many; None: as `smallest` says.
    """
    shapes = [shape]
    while True:
        sizes = dict(zip(axes, shapes[-1], strict=True))
        longest = max(sizes.get("Y", 1), sizes.get("X", 1))
        if longest <= 1 or (longest <= smallest if levels is None else len(shapes) >= levels):
            return shapes
        shapes.append(tuple(-(-n // 2) if axis in "YX" else n for axis, n in sizes.items()))


def copy_level(fine: Any, coarse: Any, axes: str, *, mean: bool) -> None:
    """Fill a level from the one before, chunk by chunk.

    Args:
        fine: what is read, an array that takes slices.
        coarse: what is written, with `shape` and `chunks`.
        axes: of both.
        mean: a pixel is the mean of the four (rounded, if whole); otherwise the first of them, as labels need it.
    """
    starts = itertools.product(*(range(0, n, step) for n, step in zip(coarse.shape, coarse.chunks, strict=True)))
    halved = [axis in "YX" and long > short for axis, long, short in zip(axes, fine.shape, coarse.shape, strict=True)]
    for start in starts:
        ends = (min(s + step, n) for s, step, n in zip(start, coarse.chunks, coarse.shape, strict=True))
        target = tuple(slice(first, end) for first, end in zip(start, ends, strict=True))
        source = tuple(slice(2 * p.start, 2 * p.stop) if half else p for p, half in zip(target, halved, strict=True))
        region = np.asarray(fine[source])
        for dimension, half in enumerate(halved):
            if half:
                region = _halve(region, dimension, mean)
        coarse[target] = np.rint(region).astype(coarse.dtype) if np.dtype(coarse.dtype).kind in "iu" else region


def _halve(region: Array, dimension: int, mean: bool) -> Array:
    """Along one dimension; the last pixel of an odd length stands for itself."""
    moved = np.moveaxis(region, dimension, -1)
    first, second = moved[..., ::2], moved[..., 1::2]
    if mean:
        result = first.astype(np.float64 if region.dtype.kind in "iu" else region.dtype)
        result[..., : second.shape[-1]] = (result[..., : second.shape[-1]] + second) / 2
    else:
        result = first
    return np.moveaxis(result, -1, dimension)
