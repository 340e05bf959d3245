"""An image through a network, window by window: one grid of windows over the whole image, each computed once.

Along the first axis the image is swept row of windows by row of windows. What no later window can change leaves as a
band, so memory holds one row of windows, whatever the length of the image.
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
    column: Region,
) -> Iterator[tuple[int, NumpyArray]]:
    """Blended prediction of a column of the image, in bands along the first axis.

    The next row of windows is read while the network works on this one.

    Args:
        infer: windows (B, C, [Z], Y, X) to predictions (B, K, [Z], Y, X).
        read: a region of the spatial axes to pixels (C, [Z], Y, X) as the network takes them.
        shape: of the image, spatial axes only.
        options: no window may be longer than the image.
        column: what is wanted of all axes but the first.

    Yields:
        First row of the band, and the band (K, rows, ...), float32, cut to the column.
    """
    window = options.window
    rows = window_starts(shape[0], window[0], options.overlap)
    places = [
        touching(window_starts(length, size, options.overlap), size, part)
        for length, size, part in zip(shape[1:], window[1:], column, strict=True)
    ]
    extent = tuple(slice(each[0], each[-1] + size) for each, size in zip(places, window[1:], strict=True))
    width = tuple(part.stop - part.start for part in extent)
    wanted = tuple(slice(c.start - e.start, c.stop - e.start) for c, e in zip(column, extent, strict=True))
    parts_of_row = [
        tuple(slice(s - e.start, s - e.start + w) for s, e, w in zip(start, extent, window[1:], strict=True))
        for start in product(*places)
    ]
    importance = _importance(window)
    sums, weights = np.empty(0, np.float32), np.zeros((window[0], *width), np.float32)
    with ThreadPoolExecutor(1, thread_name_prefix="read-windows") as pool:
        strips = [(slice(row, row + window[0]), *extent) for row in rows]
        coming = pool.submit(read, strips[0])
        for index, row in enumerate(rows):
            strip = coming.result()
            if index + 1 < len(rows):
                coming = pool.submit(read, strips[index + 1])
            for first in range(0, len(parts_of_row), options.batch):
                parts = parts_of_row[first : first + options.batch]
                predicted = infer(np.stack([strip[(slice(None), slice(None), *part)] for part in parts]))
                if not sums.size:
                    sums = np.zeros((predicted.shape[1], window[0], *width), np.float32)
                for part, values in zip(parts, predicted, strict=True):
                    sums[(slice(None), slice(None), *part)] += values * importance
                    weights[(slice(None), *part)] += importance
            final = (rows[index + 1] if index + 1 < len(rows) else row + window[0]) - row
            kept = (slice(None, final), *wanted)
            yield row, sums[(slice(None), *kept)] / weights[kept]
            for channel in (*sums, weights):
                channel[: len(channel) - final] = channel[final:]
                channel[len(channel) - final :] = 0


def _importance(window: tuple[int, ...]) -> NumpyArray:
    """Weight of a window's pixels: a Gaussian, as in MONAI's sliding window."""
    from monai.data.utils import compute_importance_map

    weights: NumpyArray = compute_importance_map(window, mode="gaussian", sigma_scale=0.125).numpy()
    return weights
