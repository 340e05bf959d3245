"""Which pixels matter to which object: the neighbours of every centre in the embedding space.

An object's membership phi = exp(-sum_axis (e - centre)^2 * s) falls so fast that almost all pixels of an image are of no
account to it. The pixels are sorted once into cells of the embedding space; a row of cells in the box around a centre is
then a contiguous range of that order, whatever the number of objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_CELLS_PER_PIXEL = 4


@dataclass(frozen=True, slots=True)
class Cells:
    """Pixels sorted by the cell of the embedding space in which they lie.

    Attributes:
        order: (M,) pixels by cell.
        starts: (cells + 1,) where each cell begins in `order`.
        low: (D,) corner of the grid of cells.
        size: (D,) extent of a cell.
        counts: cells per axis, x first.
    """

    order: Tensor
    starts: Tensor
    low: Tensor
    size: Tensor
    counts: tuple[int, ...]


def sort_into_cells(embedding: Tensor, sample: Tensor, samples: int, size: Tensor) -> Cells:
    """Sort pixels by sample and cell.

    Args:
        embedding: (M, D) float32, finite.
        sample: (M,) image of the batch that a pixel belongs to.
        samples: number of images.
        size: (D,) wished extent of a cell; made larger where there would be far more cells than pixels.
    """
    low, high = embedding.amin(0), embedding.amax(0)
    limit = max(1.0, MAX_CELLS_PER_PIXEL * len(embedding) / samples) ** (1 / embedding.shape[1])
    size = torch.maximum(size, (high - low) / limit).clamp(min=torch.finfo(torch.float32).tiny)
    index = ((embedding - low) / size).long()
    counts = tuple((index.amax(0) + 1).tolist())
    cell = sample
    for axis in reversed(range(len(counts))):
        cell = cell * counts[axis] + index[:, axis]
    total = samples
    for count in counts:
        total *= count
    order = torch.argsort(cell)
    filled = torch.bincount(cell, minlength=total)
    starts = torch.cat([filled.new_zeros(1), torch.cumsum(filled, 0)])
    return Cells(order, starts, low, size, counts)


def ranges_in_boxes(cells: Cells, sample: Tensor, center: Tensor, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Contiguous ranges of `cells.order` that cover the box around every centre.

    Args:
        cells: sorted pixels.
        sample: (K,) image of each centre.
        center: (K, D).
        radius: (K, D) half extent of the box.

    Returns:
        Per range: the centre it is for, its start, its length.
    """
    counts = torch.tensor(cells.counts, device=center.device)
    # Clamped before the conversion: a huge radius does not fit an integer.
    first = ((center - radius - cells.low) / cells.size).clamp(min=0).minimum(counts - 1.0).long()
    last = ((center + radius - cells.low) / cells.size).clamp(min=0).minimum(counts - 1.0).long()
    rows = (last - first + 1)[:, 1:]
    number = rows.prod(1)
    owner = torch.repeat_interleave(torch.arange(len(center), device=center.device), number)
    within = arange_each(number)
    cell = sample[owner]
    places = []
    for axis in range(rows.shape[1]):
        places.append(first[owner, axis + 1] + within % rows[owner, axis])
        within = within // rows[owner, axis]
    for axis in reversed(range(rows.shape[1])):
        cell = cell * cells.counts[axis + 1] + places[axis]
    row = cell * cells.counts[0]
    start = cells.starts[row + first[owner, 0]]
    return owner, start, cells.starts[row + last[owner, 0] + 1] - start


def expand(cells: Cells, owner: Tensor, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """All (centre, pixel) pairs of some ranges."""
    pixel = cells.order[arange_each(length) + torch.repeat_interleave(start, length)]
    return torch.repeat_interleave(owner, length), pixel


def arange_each(lengths: Tensor) -> Tensor:
    """0 .. n-1 for every n, one after the other."""
    total = int(lengths.sum())
    begin = torch.cumsum(lengths, 0) - lengths
    return torch.arange(total, device=lengths.device) - torch.repeat_interleave(begin, lengths)
