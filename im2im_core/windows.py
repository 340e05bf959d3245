"""An image through a network, window by window: one grid of windows over the whole image, each computed once.

Along the first axis the image is swept row of windows by row of windows. What no later window can change leaves as a
band, so memory holds one row of windows, whatever the length of the image. Of the pixels of a row some windows' are
read at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
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


def sweep(
    infer: Callable[[NumpyArray], NumpyArray],
    read: Callable[[Region], NumpyArray],
    shape: tuple[int, ...],
    options: WindowOptions,
    wanted: Region,
) -> Iterator[tuple[int, NumpyArray]]:
    """Blended prediction of a part of the image, in bands along the first axis.

    The next windows are read while the network works on these.

    Args:
        infer: windows (B, C, [Z], Y, X) to predictions (B, K, [Z], Y, X).
        read: a region of the spatial axes to pixels (C, [Z], Y, X) as the network takes them.
        shape: of the image, spatial axes only.
        options: no window may be longer than the image.
        wanted: the part, of each axis.

    Yields:
        First row of the band, and the band (K, rows, ...), float32, cut to the part.
    """
    window = options.window
    rows, *places = [
        touching(window_starts(length, size, options.overlap), size, part)
        for length, size, part in zip(shape, window, wanted, strict=True)
    ]
    extent = tuple(slice(each[0], each[-1] + size) for each, size in zip(places, window[1:], strict=True))
    width = tuple(part.stop - part.start for part in extent)
    across = tuple(slice(w.start - e.start, w.stop - e.start) for w, e in zip(wanted[1:], extent, strict=True))
    slabs = _slabs(places, window)
    strips = [(slice(row, row + window[0]), *slab.region) for row in rows for slab in slabs]
    importance = _importance(window)
    sums, weights = np.empty(0, np.float32), np.zeros((window[0], *width), np.float32)
    with ThreadPoolExecutor(1, thread_name_prefix="read-windows") as pool:
        coming = pool.submit(read, strips[0])
        for index, row in enumerate(rows):
            for number, slab in enumerate(slabs, start=index * len(slabs)):
                pixels = coming.result()
                if number + 1 < len(strips):
                    coming = pool.submit(read, strips[number + 1])
                for first in range(0, len(slab.starts), options.batch):
                    starts = slab.starts[first : first + options.batch]
                    parts = [_part(start, slab.region, window) for start in starts]
                    predicted = infer(np.stack([pixels[(slice(None), slice(None), *part)] for part in parts]))
                    if not sums.size:
                        sums = np.zeros((predicted.shape[1], window[0], *width), np.float32)
                    np.multiply(predicted, importance, out=predicted)
                    for start, values in zip(starts, predicted, strict=True):
                        part = _part(start, extent, window)
                        sums[(slice(None), slice(None), *part)] += values
                        weights[(slice(None), *part)] += importance
                del pixels
            final = (rows[index + 1] if index + 1 < len(rows) else row + window[0]) - row
            kept = (slice(max(0, wanted[0].start - row), min(final, wanted[0].stop - row)), *across)
            if kept[0].stop > kept[0].start:
                yield row + kept[0].start, sums[(slice(None), *kept)] / weights[kept]
            for channel in (*sums, weights):
                channel[: len(channel) - final] = channel[final:]
                channel[len(channel) - final :] = 0


@dataclass(frozen=True, slots=True)
class _Slab:
    """Windows whose pixels are read together.

    Attributes:
        region: of all axes but the first.
        starts: first pixels of the windows there, the last axis fastest.
    """

    region: Region
    starts: list[tuple[int, ...]]


def _slabs(places: Sequence[Sequence[int]], window: tuple[int, ...]) -> list[_Slab]:
    """The windows of a row, cut along the second axis into as many at a time as READ_PIXELS allows."""
    others = [slice(each[0], each[-1] + size) for each, size in zip(places[1:], window[2:], strict=True)]
    line = window[0] * math.prod(part.stop - part.start for part in others)
    slabs: list[_Slab] = []
    lines: list[int] = []
    for place in places[0]:
        if lines and (place + window[1] - lines[0]) * line > READ_PIXELS:
            slabs.append(_slab(lines, places[1:], others, window))
            lines = []
        lines.append(place)
    return [*slabs, _slab(lines, places[1:], others, window)]


def _slab(lines: list[int], places: Sequence[Sequence[int]], others: list[slice], window: tuple[int, ...]) -> _Slab:
    return _Slab((slice(lines[0], lines[-1] + window[1]), *others), list(product(lines, *places)))


def _part(start: tuple[int, ...], extent: Region, window: tuple[int, ...]) -> Region:
    """A window, counted from the first pixel of an extent."""
    return tuple(slice(s - e.start, s - e.start + w) for s, e, w in zip(start, extent, window[1:], strict=True))


def _importance(window: tuple[int, ...]) -> NumpyArray:
    """Weight of a window's pixels: a Gaussian, as in MONAI's sliding window."""
    from monai.data.utils import compute_importance_map

    weights: NumpyArray = compute_importance_map(window, mode="gaussian", sigma_scale=0.125).numpy()
    return weights
