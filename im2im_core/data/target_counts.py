"""How often each number occurs in the targets of a data set, and whether the numbers are objects. Loads no torch."""

from __future__ import annotations

from collections import Counter

import numpy as np

from im2im_core.interfaces import NumpyArray

MOST_CLASSES = 1000
PROBED = 5
PROBE_LENGTH = {2: 1024, 3: 128}
PARTS_PER_OBJECT = 1.5
"""Connected parts for each number of a target up to which the numbers are taken for objects and not for classes."""
_MOST_BINS = 2**24


class TargetCounts:
    """Pixels of each number, counted in one pass over each target."""

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self._sizes: list[NumpyArray] = []
        self._whole = True
        self._probed = self._numbers = self._parts = 0

    def add(self, target: NumpyArray, *, objects: bool = False) -> None:
        """Count one target (C, [Z,] Y, X); every channel has numbers of its own.

        Args:
            target: all its pixels.
            objects: keep sizes of objects too, and look at the first targets for whether they are any.
        """
        self._whole = self._whole and target.dtype.kind in "iub"
        if not self._whole:
            return
        for channel in target:
            numbers, pixels = counted(channel)
            if len(self._classes) <= MOST_CLASSES:
                self._classes.update(dict(zip(numbers.tolist(), pixels.tolist(), strict=True)))
            if objects:
                self._sizes.append(pixels[numbers > 0])
                if self._probed < PROBED:
                    self._probe(channel)

    def classes(self) -> dict[int, int]:
        """Pixels by number, rising; of the first numbers where there are very many, and empty for fractions."""
        return {number: self._classes[number] for number in sorted(self._classes)[:MOST_CLASSES]} if self._whole else {}

    def object_sizes(self) -> tuple[int, ...]:
        """Pixels of each object; empty where the numbers are no objects.

        They are when there are several, and each is about one connected part of its target: a class has many parts.
        """
        several = sum(number > 0 for number in self._classes) > 1
        if not (self._whole and several and self._sizes and self._parts <= PARTS_PER_OBJECT * self._numbers):
            return ()
        return tuple(np.concatenate(self._sizes).tolist())

    def _probe(self, channel: NumpyArray) -> None:
        """Numbers and connected parts in the middle of a target."""
        from skimage.measure import label

        longest = PROBE_LENGTH[channel.ndim]
        starts = [max(0, (length - longest) // 2) for length in channel.shape]
        middle = channel[tuple(slice(start, start + longest) for start in starts)]
        if not (middle > 0).any():
            return
        self._probed += 1
        self._numbers += int(np.count_nonzero(np.unique(middle) > 0))
        self._parts += int(label(np.where(middle > 0, middle, 0), background=0, connectivity=middle.ndim).max())


def counted(array: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
    """Numbers that occur, rising, and how often each does; without sorting the pixels where numbers are small."""
    if not array.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if (array.dtype.kind == "i" and array.min() < 0) or array.max() >= max(_MOST_BINS, array.size):
        numbers, pixels = np.unique(array, return_counts=True)
        return numbers.astype(np.int64), pixels
    pixels = np.bincount(array.ravel().astype(np.int64, copy=False))
    numbers = pixels.nonzero()[0]
    return numbers, pixels[numbers]
