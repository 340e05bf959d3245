"""An image through a network, window by window: one grid of windows over the whole image, each computed once.

The windows are taken row by row along the first axis, and in a row line by line along the second. What no later window
can change leaves at once as a piece; memory holds a line of windows, and of each row only what the next one overlaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from im2im_core.extents import Region, common_part, within

NumpyArray = np.ndarray[Any, Any]
# Pixels that are read at a time, at least a batch of windows.
READ_PIXELS = 2**23
# Bytes of pieces that are handed on together: files are written in chunks, and each is best touched once.
GATHERED = 2**25


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
        infer: windows (B, C, [Z], Y, X) to predictions (B, K, [Z], Y, X).
        read: a region of the spatial axes to pixels (C, [Z], Y, X) as the network takes them.
        shape: of the image, spatial axes only.
        options: no window may be longer than the image.
        wanted: the part, of each axis.

    Yields:
        Region of the image, and its prediction (K, [Z], Y, X), float32.
    """
    if len(shape) == 2:
        # A row of windows of a plane is one line.
        window, (height, width) = options.window, shape
        pieces = sweep(
            lambda windows: infer(windows[:, :, :, 0])[:, :, :, None],
            lambda region: read((region[0], region[2]))[:, :, None],
            (height, 1, width),
            replace(options, window=(window[0], 1, window[1])),
            (wanted[0], slice(0, 1), wanted[1]),
        )
        for region, piece in pieces:
            yield (region[0], region[2]), piece[:, :, 0]
        return
    starts = [
        touching(window_starts(length, size, options.overlap), size, part)
        for length, size, part in zip(shape, options.window, wanted, strict=True)
    ]
    for region, mean in _lines(infer, read, starts, options):
        kept = common_part(region, wanted)
        if kept is not None:
            yield kept, mean[(slice(None), *within(kept, region))]


def _lines(
    infer: Callable[[NumpyArray], NumpyArray],
    read: Callable[[Region], NumpyArray],
    starts: Sequence[Sequence[int]],
    options: WindowOptions,
) -> Iterator[tuple[Region, NumpyArray]]:
    """All windows at `starts` along Z, Y and X; after each line of them what is final."""
    rows, lines, places = starts
    window = options.window
    groups = _groups(places, window, options.batch)
    extents = [_extent((row, line), group, window) for row in rows for line in lines for group in groups]
    blend: _Blend | None = None
    above = 0
    with ThreadPoolExecutor(1, thread_name_prefix="read-windows") as pool:
        ahead = _ahead(pool, read, extents)
        for row, next_row in _steps(rows, window[0]):
            for line, next_line in _steps(lines, window[1]):
                for group in groups:
                    pixels = next(ahead)
                    for first in range(0, len(group), options.batch):
                        batch = group[first : first + options.batch]
                        cuts = [slice(start - group[0], start - group[0] + window[2]) for start in batch]
                        predicted = infer(np.stack([pixels[..., cut] for cut in cuts]))
                        blend = blend or _Blend(predicted.shape[1], starts, window)
                        for start, values in zip(batch, predicted, strict=True):
                            blend.add(start - places[0], values)
                    del pixels
                assert blend is not None
                mean = blend.finish(next_row - row, slice(line - lines[0], next_line - lines[0]), above)
                yield (slice(row, next_row), slice(line, next_line), slice(places[0], places[-1] + window[2])), mean
                del mean
            above = row + window[0] - next_row


class _Blend:
    """Sums of weighted predictions: of the line of windows at hand, and of what the next row of windows will add to.

    The weights themselves are summed as one more channel.

    Args:
        channels: of a prediction.
        starts: first pixels of the windows along Z, Y and X.
        window: its pixels, Z, Y, X.
    """

    def __init__(self, channels: int, starts: Sequence[Sequence[int]], window: tuple[int, ...]) -> None:
        import torch
        from monai.data.utils import compute_importance_map

        height, width = (each[-1] + size - each[0] for each, size in zip(starts[1:], window[1:], strict=True))
        # Torch adds with all cores; numpy would let all but one wait.
        self._line = torch.zeros(channels + 1, *window[:2], width)
        self._upper = torch.zeros(channels + 1, carried(starts[0], window[0]), height, width)
        self._importance = compute_importance_map(window, mode="gaussian", sigma_scale=0.125)

    def add(self, start: int, values: NumpyArray) -> None:
        """Add a window of the line that begins at `start` along X."""
        import torch

        part = self._line[..., start : start + values.shape[-1]]
        part[:-1].addcmul_(torch.from_numpy(values), self._importance)
        part[-1].add_(self._importance)

    def finish(self, rows: int, lines: slice, above: int) -> NumpyArray:
        """Take out what no later window changes, and go on to the next line.

        Args:
            rows: how many are final.
            lines: those that are.
            above: rows that the row of windows before has added to.

        Returns:
            Mean prediction (K, rows, lines, X).
        """
        done = lines.stop - lines.start
        self._line[:, :above, :done] += self._upper[:, :above, lines]
        self._upper[:, : self._line.shape[1] - rows, lines] = self._line[:, rows:, :done]
        mean: NumpyArray = (self._line[:-1, :rows, :done] / self._line[-1, :rows, :done]).numpy()
        left = self._line.shape[2] - done
        # The two parts may overlap.
        self._line[:, :, :left] = self._line[:, :, done:].clone()
        self._line[:, :, left:] = 0
        return mean


def held_bytes(channels: int, rows: Sequence[int], window: tuple[int, ...], sizes: Sequence[int]) -> int:
    """What a sweep holds: sums, and pieces on their way out; what is read is not counted.

    Args:
        channels: of a prediction.
        rows: first pixels of the windows along the first axis.
        window: [Z], Y, X.
        sizes: what is swept along the axes but the first.
    """
    height = window[1] if len(window) == 3 else 1
    line = window[0] * height * sizes[-1]
    pieces = 4 * channels * line + 2 * GATHERED
    return 4 * (channels + 1) * (carried(rows, window[0]) * math.prod(sizes) + line) + pieces


def gathered(pieces: Iterable[tuple[Region, NumpyArray]], limit: int = GATHERED) -> Iterator[tuple[Region, NumpyArray]]:
    """Pieces of a sweep of a volume that follow one another along Y, several as one.

    Args:
        pieces: regions and arrays (K, Z, Y, X).
        limit: bytes of one.
    """
    held: list[tuple[Region, NumpyArray]] = []
    for region, piece in pieces:
        last = held[-1][0] if held else region
        follows = len(region) == 3 and last[::2] == region[::2] and last[1].stop == region[1].start
        if held and not (follows and sum(each.nbytes for _, each in held) + piece.nbytes <= limit):
            yield _together(held)
            held = []
        held.append((region, piece))
    if held:
        yield _together(held)


def _together(held: list[tuple[Region, NumpyArray]]) -> tuple[Region, NumpyArray]:
    (first, piece), last = held[0], held[-1][0]
    if len(held) == 1:
        return first, piece
    lines = slice(first[1].start, last[1].stop)
    return (first[0], lines, *first[2:]), np.concatenate([each for _, each in held], axis=2)


def _groups(places: Sequence[int], window: tuple[int, ...], batch: int) -> list[list[int]]:
    """Windows of a line whose pixels are read together."""
    groups: list[list[int]] = [[]]
    for start in places:
        group = groups[-1]
        if len(group) >= batch and (start + window[2] - group[0]) * window[0] * window[1] > READ_PIXELS:
            groups.append([])
        groups[-1].append(start)
    return groups


def _extent(corner: tuple[int, int], group: Sequence[int], window: tuple[int, ...]) -> Region:
    """What the windows of a group cover."""
    across = (slice(start, start + size) for start, size in zip(corner, window, strict=False))
    return (*across, slice(group[0], group[-1] + window[2]))


def _steps(starts: Sequence[int], window: int) -> list[tuple[int, int]]:
    """First pixel of each window and of the next one; of the last one its end."""
    return list(pairwise([*starts, starts[-1] + window]))


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
