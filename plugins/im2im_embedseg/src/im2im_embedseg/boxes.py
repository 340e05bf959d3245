"""The objects of a label image by their bounding boxes, so that no work on an object passes over the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array: TypeAlias = NDArray[Any]


class BoxedObject(NamedTuple):
    """One object.

    Attributes:
        label: its number.
        box: the part of the image that it lies in.
        pixels: (P, D) int64 positions in the whole image, [Z], Y, X, in raster order.
    """

    label: int
    box: tuple[slice, ...]
    pixels: NDArray[np.int64]


def boxed_objects(labels: Array) -> Iterator[BoxedObject]:
    """The objects by rising label.

    Args:
        labels: ([Z], Y, X) integers, 0 = background.
    """
    numbered, numbers = labels, None
    if labels.dtype == bool or (labels.size and (labels.min() < 0 or labels.max() > max(labels.size, 1 << 16))):
        # One box is kept for every number up to the largest.
        numbers, numbered = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
        zero = int(np.searchsorted(numbers, 0))
        numbers = np.delete(numbers, zero)
        numbered = numbered.ravel()[:-1].reshape(labels.shape) + 1
        numbered = np.where(numbered == zero + 1, 0, numbered - (numbered > zero + 1))
    for index, box in enumerate(ndimage.find_objects(numbered)):
        if box is not None:
            inside = np.array(np.nonzero(numbered[box] == index + 1))
            inside += np.array([[part.start] for part in box])
            yield BoxedObject(index + 1 if numbers is None else int(numbers[index]), box, inside.T)
