"""An image through a network, window by window: one grid of windows over the whole image, each computed once.

The windows are taken row by row along the first axis, and in a row line by line along the second. What no later window
can change leaves at once as a piece; memory holds a line of windows, and of each row only what the next one overlaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

NumpyArray = np.ndarray[Any, Any]
Region = tuple[slice, ...]
# Pixels that are read at a time, at least one line of windows.
READ_PIXELS = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """How an image is cut for the network.

    Attributes:
        window: pixels per spatial axis, [Z], Y, X; smaller where the image is smaller.
        overlap: share by which neighbouring windows overlap, 0 to below 1.
        batch: windows per forward pass.
    """

    window: tuple[int, ...]
    overlap: float = 0.25
    batch: int = 4


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of the windows along an axis; the last window is moved inwards (the grid of MONAI's inferer)."""
    stride = max(1, int(window * (1 - overlap)))
    count = max(1, math.ceil((length - window) / stride) + 1)
    return [max(0, min(index * stride, length - window)) for index in range(count)]


def touching(starts: Sequence[int], window: int, part: slice) -> list[int]:
    """The windows that have a pixel in a part of an axis."""
    return [start for start in starts if start < part.stop and start + window > part.start]


def carried(starts: Sequence[int], window: int) -> int:
    """Pixels by which a window overlaps the next one along an axis, at most."""
    return max((start + window - after for start, after in pairwise(starts)), default=0)


def sweep(
    infer: Callable[[NumpyArray], NumpyArray],
    read: Callable[[Region], NumpyArray],
    shape: tuple[int, ...],
    options: WindowOptions,
    wanted: Region,
) -> Iterator[tuple[Region, NumpyArray]]:
    """Blended prediction of a part of the image, in pieces that tile it, rising along the first axis.

    The next windows are read while the network works on these.

    Args:
        infer: windows (B, C, [Z], Y, X) to predictions (B, K, [Z], Y, X), which may be overwritten.
        read: a region of the spatial axes to pixels (C, [Z], Y, X) as the network takes them.
        shape: of the image, spatial axes only.
        options: no window may be longer than the image.
        wanted: the part, of each axis.

    Yields:
        Region of the image, and its prediction (K, [Z], Y, X), float32.
    """
    window = options.window
    rows, lines, *places = [
        touching(window_starts(length, size, options.overlap), size, part)
        for length, size, part in zip(shape, window, wanted, strict=True)
    ]
    extent = tuple(slice(p[0], p[-1] + w) for p, w in zip((lines, *places), window[1:], strict=True))
    slabs = _slabs(lines, places, window)
    importance = _importance(window)
    blend: _Blend | None = None
    above = 0
    with ThreadPoolExecutor(1, thread_name_prefix="read-windows") as pool:
        strips = [(slice(row, row + window[0]), *slab.region) for row in rows for slab in slabs]
        pixels_of_slabs = _ahead(pool, read, strips)
        for row, next_row in _steps(rows, window[0]):
            for slab in slabs:
                pixels = next(pixels_of_slabs)
                for line, next_line in slab.steps:
                    starts = list(product([line], *places))
                    for first in range(0, len(starts), options.batch):
                        batch = starts[first : first + options.batch]
                        parts = [_part(start, slab.region, window) for start in batch]
                        predicted = infer(np.stack([pixels[(slice(None), slice(None), *part)] for part in parts]))
                        np.multiply(predicted, importance, out=predicted)
                        blend = blend or _Blend(predicted.shape[1], window, carried(rows, window[0]), extent)
                        for start, values in zip(batch, predicted, strict=True):
                            blend.add(_part(start, extent, window)[1:], values, importance)
                    assert blend is not None
                    region = (slice(row, next_row), slice(line, next_line), *extent[1:])
                    kept, piece = blend.piece(region, above, wanted)
                    if piece.size:
                        yield kept, piece
                del pixels
            above = row + window[0] - next_row


class _Blend:
    """Sums of weighted predictions: of the line of windows at hand, and of what the next row of windows will add to.

    The weights themselves are summed as one more channel.

    Args:
        channels: of a prediction.
        window: its pixels.
        carried: rows that the next row of windows overlaps, at most.
        extent: what the windows cover of all axes but the first.
    """

    def __init__(self, channels: int, window: tuple[int, ...], carried: int, extent: Region) -> None:
        length, *width = (part.stop - part.start for part in extent)
        self._first = extent[0].start
        self._line = np.zeros((channels + 1, *window[:2], *width), np.float32)
        self._upper = np.zeros((channels + 1, carried, length, *width), np.float32)

    def add(self, across: Region, values: NumpyArray, importance: NumpyArray) -> None:
        """Add a window of the line; `across` is its place along the axes but the first two."""
        self._line[:-1][(slice(None), slice(None), slice(None), *across)] += values
        self._line[-1][(slice(None), slice(None), *across)] += importance

    def piece(self, region: Region, above: int, wanted: Region) -> tuple[Region, NumpyArray]:
        """Take out what no later window changes, and go on to the next line.

        Args:
            region: what is final: rows, lines and the whole extent of the other axes.
            above: rows that the row of windows before has added to.
            wanted: what of it is wanted.

        Returns:
            What of the region is wanted, and its mean prediction.
        """
        rows, lines, *_ = region
        final, done = rows.stop - rows.start, lines.stop - lines.start
        place = slice(lines.start - self._first, lines.stop - self._first)
        self._line[:, :above, :done] += self._upper[:, :above, place]
        left = self._line.shape[1] - final
        self._upper[:, :left, place] = self._line[:, final:, :done]
        kept = tuple(slice(max(r.start, w.start), min(r.stop, w.stop)) for r, w in zip(region, wanted, strict=True))
        inside = tuple(slice(k.start - r.start, k.stop - r.start) for k, r in zip(kept, region, strict=True))
        if any(part.stop <= part.start for part in kept):
            mean = np.empty(0, np.float32)
        else:
            mean = self._line[:-1][(slice(None), *inside)] / self._line[-1][inside]
        ahead = self._line.shape[2] - done
        self._line[:, :, :ahead] = self._line[:, :, done:]
        self._line[:, :, ahead:] = 0
        return kept, mean


@dataclass(frozen=True, slots=True)
class _Slab:
    """Lines of windows whose pixels are read together.

    Attributes:
        region: of all axes but the first.
        steps: first pixel of each line and of the next one.
    """

    region: Region
    steps: list[tuple[int, int]]


def _slabs(lines: Sequence[int], places: Sequence[Sequence[int]], window: tuple[int, ...]) -> list[_Slab]:
    """The lines of a row, as many at a time as READ_PIXELS allows."""
    others = [slice(each[0], each[-1] + size) for each, size in zip(places, window[2:], strict=True)]
    line = window[0] * math.prod(part.stop - part.start for part in others)
    together: list[list[tuple[int, int]]] = [[]]
    for step in _steps(lines, window[1]):
        if together[-1] and (step[0] + window[1] - together[-1][0][0]) * line > READ_PIXELS:
            together.append([])
        together[-1].append(step)
    return [_Slab((slice(steps[0][0], steps[-1][0] + window[1]), *others), steps) for steps in together]


def _steps(starts: Sequence[int], window: int) -> list[tuple[int, int]]:
    """First pixel of each window and of the next one; of the last one its end."""
    return list(pairwise([*starts, starts[-1] + window]))


def _part(start: tuple[int, ...], extent: Region, window: tuple[int, ...]) -> Region:
    """A window, counted from the first pixel of an extent."""
    return tuple(slice(s - e.start, s - e.start + w) for s, e, w in zip(start, extent, window[1:], strict=True))


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[Region], NumpyArray], regions: list[Region]
) -> Iterator[NumpyArray]:
    """Regions one after the other, the next one being read meanwhile."""
    coming = pool.submit(read, regions[0])
    for number in range(len(regions)):
        pixels = coming.result()
        if number + 1 < len(regions):
            coming = pool.submit(read, regions[number + 1])
        yield pixels
        del pixels


def _importance(window: tuple[int, ...]) -> NumpyArray:
    """Weight of a window's pixels: a Gaussian, as in MONAI's sliding window."""
    from monai.data.utils import compute_importance_map

    weights: NumpyArray = compute_importance_map(window, mode="gaussian", sigma_scale=0.125).numpy()
    return weights
