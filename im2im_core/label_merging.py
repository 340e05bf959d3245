"""Labels of overlapping blocks joined into labels of the image, without seams.

Every block is segmented with a halo, so an object at a border is found whole by the blocks on both sides. Two objects
are one where they agree in the zone that both blocks see: the intersection over the union of their pixels there is at
least one half, which no second object can reach. Each block keeps the pixels of its own core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.blocks import Block
from im2im_core.extents import common_part, within

NumpyArray = np.ndarray[Any, Any]
AGREEMENT = 0.5


@dataclass(frozen=True, slots=True)
class _Stored:
    """A block that was segmented; its labels, as they were given, lie in a file.

    Attributes:
        block: which one.
        path: of the file.
        first: what is added to its labels, so that no two blocks share a number.
        own: whether a label has pixels in the core, from label 0 on.
    """

    block: Block
    path: Path
    first: int
    own: NumpyArray


class LabelMerger:
    """Takes the labels of one block after the other, and gives the labels of the image.

    Args:
        folder: for labels that wait for their final numbers; about four bytes per pixel of the image.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stored: dict[tuple[int, ...], _Stored] = {}
        self._parent = np.zeros(1, np.uint32)
        self._scores: list[NumpyArray] = [np.full(1, np.nan, np.float32)]
        self._final = np.zeros(1, np.uint32)
        self.count = 0

    def add(self, block: Block, labels: NumpyArray, scores: NumpyArray | None = None, path: Path | None = None) -> None:
        """Take the labels of a block.

        Args:
            block: which one.
            labels: integers of the shape of `block.read`, 0 = background.
            scores: one for each label from 1 on; None: unknown.
            path: file that holds the labels already and stays; None: they are kept in one.
        """
        first = len(self._parent) - 1
        most = int(labels.max(initial=0))
        self._parent = np.concatenate([self._parent, np.arange(first + 1, first + 1 + most, dtype=np.uint32)])
        known = np.full(most, np.nan, np.float32) if scores is None else scores[:most].astype(np.float32)
        self._scores.append(known)
        own = np.bincount(labels[block.inner].reshape(-1), minlength=most + 1) > 0
        own[0] = False
        if path is None:
            path = self._folder / f"{len(self._stored)}.npy"
            np.save(path, labels, allow_pickle=False)
        stored = _Stored(block, path, first, own)
        for offset in product((-1, 0, 1), repeat=len(block.index)):
            other = self._stored.get(tuple(i + o for i, o in zip(block.index, offset, strict=True)))
            if other is not None:
                self._join(other, stored, labels)
        self._stored[block.index] = stored

    def finish(self) -> NumpyArray:
        """Number the objects 1, 2, ... from the first block to the last, whichever of them came first.

        `count` is then how many there are.

        Returns:
            Score of each object, from 1 on: the highest of its parts, NaN where unknown.
        """
        own = [np.flatnonzero(stored.own) + stored.first for stored in self._in_order()]
        parts = np.concatenate([*own, np.zeros(0, np.int64)])
        roots = np.array([self._root(int(part)) for part in parts], np.int64)
        used, seen, which = np.unique(roots, return_index=True, return_inverse=True)
        self.count = len(used)
        numbers = np.empty(self.count, np.uint32)
        numbers[np.argsort(seen)] = np.arange(1, self.count + 1)
        self._final = np.zeros(len(self._parent), np.uint32)
        self._final[parts] = numbers[which]
        scores = np.full(self.count, np.nan, np.float32)
        np.fmax.at(scores, self._final[parts].astype(np.int64) - 1, np.concatenate(self._scores)[parts])
        return scores

    def cores(self) -> Iterator[tuple[Block, NumpyArray]]:
        """After `finish`: each block's core with final labels, uint16, or uint32 where there are more than 65535."""
        dtype = label_type(self.count)
        for stored in self._in_order():
            labels = np.load(stored.path, mmap_mode="r", allow_pickle=False)[stored.block.inner]
            final = self._final[stored.first : stored.first + len(stored.own)].astype(dtype)
            final[0] = 0
            yield stored.block, final[labels]

    def _in_order(self) -> list[_Stored]:
        return [self._stored[index] for index in sorted(self._stored)]

    def _join(self, other: _Stored, new: _Stored, labels: NumpyArray) -> None:
        """Unite the objects of two blocks that agree in the zone that both see."""
        zone = common_part(other.block.read, new.block.read)
        if zone is None:
            return
        before = np.load(other.path, mmap_mode="r", allow_pickle=False)[within(zone, other.block.read)].reshape(-1)
        after = labels[within(zone, new.block.read)].reshape(-1)
        sizes = np.bincount(before), np.bincount(after)
        # An object without a pixel in its block's core is written by nobody, so whom it is like says nothing.
        seen = other.own[before] & new.own[after]
        codes, common = np.unique(before[seen].astype(np.int64) * len(new.own) + after[seen], return_counts=True)
        left, right = np.divmod(codes, len(new.own))
        agree = common >= AGREEMENT * (sizes[0][left] + sizes[1][right] - common)
        for one, two in zip(left[agree] + other.first, right[agree] + new.first, strict=True):
            lower, upper = sorted((self._root(int(one)), self._root(int(two))))
            self._parent[upper] = lower

    def _root(self, number: int) -> int:
        while (above := int(self._parent[number])) != number:
            self._parent[number] = self._parent[above]
            number = above
        return number


def label_type(count: int) -> Any:
    """The smallest of uint16 and uint32 that holds so many labels."""
    return np.uint16 if count < 2**16 else np.uint32
