"""Which pixels matter to which object: the neighbours of every centre in the embedding space.

The membership phi = exp(-sum_axis (e - centre)^2 s) falls so fast that most pixels of an image are of no account to an
object. The pixels are sorted once into cells of the embedding space. A row of cells then is a contiguous range of the
sorted list, and the ellipsoid around a centre is a few such ranges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CELL = 2.0
"""Extent of a cell along each axis, in pixels."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Pixels of a batch sorted by image and by cell of the embedding space.

    The cells cover the image; embeddings outside belong to the outermost cells, which so extend without end.

    Attributes:
        order: (M,) int64, pixels as indices into the flattened batch.
        starts: (B * cells + 1,) int64, where each cell begins in `order`.
        counts: cells per axis, x first.
        size: extent of a cell in coordinate units, x first.
    """

    order: Tensor
    starts: Tensor
    counts: tuple[int, ...]
    size: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Contiguous ranges of `Cells.order`, grouped by object in rising order.

    Attributes:
        owner: (R,) int64, the object that a range is for.
        start: (R,) int64.
        length: (R,) int64, at least 0.
    """

    owner: Tensor
    start: Tensor
    length: Tensor


def sort_into_cells(
    embedding: Sequence[Tensor], shape: Sequence[int], steps: Sequence[float], counts: Tensor | None
) -> Cells:
    """Sort the pixels.

    Args:
        embedding: D tensors (B * N,), x first, in coordinate units.
        shape: of one image, ([Z], Y, X), with N pixels.
        steps: spacing of the pixels, ([Z], Y, X).
        counts: (B * N,) bool, pixels that count; all when None.
    """
    device, total = embedding[0].device, len(embedding[0])
    size = tuple(CELL * step for step in reversed(steps))
    number = tuple(int(-(-n // CELL)) for n in reversed(shape))
    pixels, cells = math.prod(shape), math.prod(number)
    samples = total // max(pixels, 1)
    # 32 bits sort twice as fast as 64.
    dtype = torch.int32 if samples * cells < 2**31 - 1 else torch.int64
    cell = torch.arange(samples, device=device, dtype=dtype).repeat_interleave(pixels)
    for axis in reversed(range(len(number))):
        cell = cell * number[axis] + _cell_index(embedding[axis] / size[axis], number[axis]).to(dtype)
    if counts is not None:
        kept = counts.nonzero()[:, 0]
        cell = cell.index_select(0, kept)
    order = torch.argsort(cell, stable=True)
    filled = torch.bincount(cell, minlength=samples * cells).cumsum(0)
    starts = torch.cat([filled.new_zeros(1), filled])
    return Cells(order if counts is None else kept.index_select(0, order), starts, number, size)


def _cell_index(position: Tensor, number: int) -> Tensor:
    """Cell along one axis, as float; where the network gave NaN any cell will do, the loss is NaN anyway."""
    return torch.nan_to_num(position, 0.0).clamp(0, number - 1).floor()


def ranges_in_ellipsoids(cells: Cells, sample: Tensor, center: Tensor, scale: Tensor, limit: Tensor) -> Ranges:
    """Ranges of `cells.order` that cover {sum_axis (e - centre)^2 scale <= limit} for every object.

    Args:
        cells: sorted pixels.
        sample: (K,) int64, image of each object.
        center: (K, D), x first.
        scale: (K, D).
        limit: (K,).
    """
    dims, device = center.shape[1], center.device
    objects = torch.arange(len(center), device=device)
    radius = (limit[:, None] / scale).sqrt()
    first, rows = [], []
    for axis in range(1, dims):
        low, high = (
            _cell_index((center[:, axis] + side * radius[:, axis]) / cells.size[axis], cells.counts[axis]).long()
            for side in (-1, 1)
        )
        first.append(low)
        rows.append(high - low + 1)
    number = rows[0] if dims == 2 else rows[0] * rows[1]
    owner = torch.repeat_interleave(objects, number)
    within = arange_each(number)
    row, left = sample[owner], limit[owner]
    indices = []
    for low, many in zip(first, rows, strict=True):
        indices.append(low[owner] + within % many[owner])
        within = within // many[owner]
    for axis in reversed(range(1, dims)):
        index, middle = indices[axis - 1], center[owner, axis]
        row = row * cells.counts[axis] + index
        # Nearest approach of this row of cells to the centre; the outermost rows extend without end.
        below = torch.where(index > 0, index * cells.size[axis] - middle, 0)
        above = torch.where(index < cells.counts[axis] - 1, middle - (index + 1) * cells.size[axis], 0)
        left = left - torch.maximum(below, above).clamp(min=0).square() * scale[owner, axis]
    half = (left.clamp(min=0) / scale[owner, 0]).sqrt()
    begin, end = (
        _cell_index((center[owner, 0] + side * half) / cells.size[0], cells.counts[0]).long() for side in (-1, 1)
    )
    start = cells.starts[row * cells.counts[0] + begin]
    return Ranges(owner, start, cells.starts[row * cells.counts[0] + end + 1] - start)


def arange_each(lengths: Tensor) -> Tensor:
    """0 ... n-1 for every n, one after the other."""
    shift = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    return torch.arange(len(shift), device=shift.device) - shift


def pair_tables(ranges: Ranges, behind: Tensor, total: int, limit: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Tables of pairs, one row per object, so that memory stays bounded and what belongs to a row is broadcast.

    Objects with about equally many pairs share a table, since short rows are filled up.

    Args:
        ranges: of all K objects.
        behind: (K,) int64, how many places at and after `total`, one object after the other, are each object's as well.
        total: number of places that `ranges` speak of.
        limit: most pairs in one table, unless a single object has more.

    Yields:
        The objects (R,) of a table, and places (R, L); those that fill up are total + sum(behind).
    """
    count, device = len(behind), behind.device
    objects = torch.arange(count, device=device)
    pairs = behind.index_add(0, ranges.owner, ranges.length)
    by_size = torch.argsort(pairs, descending=True, stable=True)
    tables = _tables(pairs[by_size].tolist(), limit)
    width = torch.tensor([wide for rows, wide in tables for _ in rows], device=device)
    row_of = torch.empty_like(by_size).scatter_(0, by_size, objects)
    nowhere = total + int(behind.sum())
    # Of each object: its ranges, its places behind all others, and what fills up the row.
    row = row_of.index_select(0, torch.cat([ranges.owner, objects, objects]))
    start = torch.cat([ranges.start, total + behind.cumsum(0) - behind, torch.full_like(behind, nowhere)])
    length = torch.cat([ranges.length, behind, width.index_select(0, row_of) - pairs])
    by_row = torch.argsort(row, stable=True)
    start, length = start.index_select(0, by_row), length.index_select(0, by_row)
    end = [0, *torch.bincount(row, minlength=count).cumsum(0).tolist()]
    for rows, _ in tables:
        part = slice(end[rows.start], end[rows.stop])
        many = length[part]
        place = torch.repeat_interleave(start[part] - (many.cumsum(0) - many), many)
        place = place.add_(torch.arange(len(place), device=device)).clamp_(max=nowhere)
        yield by_size[rows.start : rows.stop], place.view(len(rows), -1)


def _tables(sizes: Sequence[int], limit: int) -> list[tuple[range, int]]:
    """Rows of each table and its width, for rows of falling size."""
    tables, first = [], 0
    for last in range(1, len(sizes) + 1):
        if last == len(sizes) or (last + 1 - first) * sizes[first] > limit:
            tables.append((range(first, last), sizes[first]))
            first = last
    return tables
