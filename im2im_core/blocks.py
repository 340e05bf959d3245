"""A large image cut into blocks for post-processing, each with a halo of its neighbours' pixels around it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from im2im_core.extents import Region, common_part, within

NumpyArray = np.ndarray[Any, Any]
# Pixels of a block along [Z], Y, X. Flat, since memory holds whole rows of blocks of a 2D image.
BLOCK = {2: (1024, 2048), 3: (128, 256, 256)}
# Bytes that a column may take while it is swept: sums, pieces on their way out, and blocks that are not complete.
COLUMN_BYTES = {2: 5 * 2**28, 3: 2**29}


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the image.

    Attributes:
        index: place in the grid of blocks.
        core: pixels that are this block's own; the cores tile the image.
        read: the core and the halo around it, cut off at the image's border.
    """

    index: tuple[int, ...]
    core: Region
    read: Region

    @property
    def inner(self) -> Region:
        """The core, counted from the first pixel of `read`."""
        return within(self.core, self.read)

    @property
    def start(self) -> tuple[int, ...]:
        """First pixel of the core."""
        return tuple(part.start for part in self.core)


def cut_blocks(shape: tuple[int, ...], size: tuple[int, ...], halo: int) -> list[Block]:
    """All blocks of an image, the last axis fastest.

    Args:
        shape: of the image, [Z], Y, X.
        size: of a core.
        halo: pixels around it.
    """
    axes = [
        [
            (slice(start, min(start + step, n)), slice(max(0, start - halo), min(start + step + halo, n)))
            for start in range(0, n, step)
        ]
        for n, step in zip(shape, size, strict=True)
    ]
    blocks = []
    for index in product(*(range(len(axis)) for axis in axes)):
        pieces = [axis[i] for axis, i in zip(axes, index, strict=True)]
        blocks.append(Block(index, tuple(core for core, _ in pieces), tuple(read for _, read in pieces)))
    return blocks


def columns(
    blocks: Sequence[Block],
    held: Callable[[list[int]], float],
    limit: int | None = None,
    overhang: Sequence[int] = (0, 0),
) -> list[list[Block]]:
    """Blocks that are swept together along the first axis: as many side by side as memory allows.

    Args:
        blocks: all of them.
        held: bytes that a column takes, by its pixels along each axis but the first.
        limit: bytes that a column may take; None: by COLUMN_BYTES.
        overhang: by how much windows reach over a column, along each axis but the first.
    """
    limit = limit or COLUMN_BYTES[len(blocks[0].read)]
    groups = [list(blocks)]
    while True:
        wide = [group for group in groups if held(_sizes(group, overhang)) > limit and _divisible(group)]
        if not wide:
            return groups
        groups = [half for group in groups for half in (_halves(group) if group in wide else [group])]


def blocks_of_pieces(
    pieces: Iterable[tuple[Region, NumpyArray]], blocks: Sequence[Block]
) -> Iterator[tuple[Block, NumpyArray]]:
    """Hand out each block's prediction as soon as there is all of it.

    Args:
        pieces: regions and predictions (K, ...) of them, which tile the blocks; rising along the first axis.
        blocks: those that are wanted.

    Yields:
        Block, and prediction (K, ...) of its `read`.
    """
    waiting = deque(sorted(blocks, key=lambda block: block.index))
    begun: dict[tuple[int, ...], tuple[NumpyArray, int]] = {}
    for region, piece in pieces:
        for block in list(waiting):
            if block.read[0].start >= region[0].stop:
                break
            shared = common_part(region, block.read)
            if shared is None:
                continue
            shape = (len(piece), *(part.stop - part.start for part in block.read))
            if block.index not in begun:
                begun[block.index] = np.empty(shape, piece.dtype), math.prod(shape[1:])
            array, missing = begun.pop(block.index)
            array[(slice(None), *within(shared, block.read))] = piece[(slice(None), *within(shared, region))]
            missing -= math.prod(part.stop - part.start for part in shared)
            if missing:
                begun[block.index] = array, missing
            else:
                waiting.remove(block)
                yield block, array


def span(blocks: Sequence[Block], part: Callable[[Block], Region], axis: int) -> slice:
    """From the first to the last pixel along an axis."""
    return slice(min(part(b)[axis].start for b in blocks), max(part(b)[axis].stop for b in blocks))


def _sizes(blocks: Sequence[Block], overhang: Sequence[int]) -> list[int]:
    spans = [span(blocks, lambda block: block.read, axis) for axis in range(1, len(blocks[0].read))]
    return [part.stop - part.start + more for part, more in zip(spans, overhang, strict=False)]


def _divisible(blocks: Sequence[Block]) -> bool:
    return len({block.index[1:] for block in blocks}) > 1


def _halves(blocks: Sequence[Block]) -> list[list[Block]]:
    """Two columns of half the blocks along the axis that has most of them."""
    counts = [len({block.index[axis] for block in blocks}) for axis in range(len(blocks[0].index))]
    axis = max(range(1, len(counts)), key=lambda a: counts[a])
    middle = min(block.index[axis] for block in blocks) + counts[axis] // 2
    return [[b for b in blocks if b.index[axis] < middle], [b for b in blocks if b.index[axis] >= middle]]
