"""Size, box and centre of all objects of a label image, in one or two passes over its pixels."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


class Measured(NamedTuple):
    """The K objects of an image by rising label.

    Attributes:
        label: (K,) int64.
        size: (K,) int64, pixels.
        length: (K, D) int64, of the bounding box.
        center: (K, D) float64, [Z], Y, X; a centroid is not rounded.
    """

    label: NDArray[np.int64]
    size: NDArray[np.int64]
    length: NDArray[np.int64]
    center: NDArray[np.float64]


def measure(
    labels: Array,
    method: Literal["centroid", "approximate-medoid"],
    anisotropy: float = 1.0,
    costmap: Array | None = None,
) -> Measured:
    """Measure the objects, whose numbers are above 0.

    Args:
        labels: ([Z], Y, X) whole numbers.
        method: as of `centers.center_image`.
        anisotropy: distance of neighbours in Z over that in Y and X.
        costmap: ([Z], Y, X); pixels of 0 belong to no object.

    Raises:
        ValueError: the labels are no whole numbers.
    """
    if labels.dtype.kind not in "iub":
        raise ValueError(f"labels must be whole numbers, not {labels.dtype}")
    dims = labels.ndim
    solid = labels.reshape((1,) * (3 - dims) + labels.shape)
    numbers = None
    if solid.size and (solid.max() > max(solid.size, 1 << 16) or solid.min() < -(2**31)):
        # One row is kept for every number up to the largest.
        numbers, solid = np.unique(np.append(solid.ravel(), solid.dtype.type(0)), return_inverse=True)
        numbered = np.where(numbers > 0, np.cumsum(numbers > 0), 0)[solid.ravel()[:-1]]
        numbers, solid = (
            np.append(numbers.dtype.type(0), numbers[numbers > 0]),
            numbered.reshape((1,) * (3 - dims) + labels.shape),
        )
    solid = np.ascontiguousarray(solid, np.int32)
    if costmap is not None:
        solid = np.where(costmap.reshape(solid.shape) > 0, solid, np.int32(0))
    size, low, high, total = _tally(solid, int(solid.max(initial=0)))
    found = np.flatnonzero(size)
    if method == "centroid":
        center = total[found] / size[found, None]
    else:
        center = _approximate_medoids(solid, size, low, high, anisotropy if dims == 3 else 1.0)[found]
    label = found if numbers is None else numbers[found].astype(np.int64)
    return Measured(label, size[found], (high - low)[found, 3 - dims :], center[:, 3 - dims :])


@numba.njit(cache=True)
def _tally(labels: Array, largest: int) -> tuple[Array, Array, Array, Array]:
    """By number, 0 left out: pixels; begin and end of the box; sum of the positions."""
    size = np.zeros(largest + 1, np.int64)
    low, high = np.full((largest + 1, 3), 2**31), np.zeros((largest + 1, 3), np.int64)
    total = np.zeros((largest + 1, 3), np.int64)
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                number = labels[z, y, x]
                if number <= 0:
                    continue
                size[number] += 1
                for axis, place in enumerate((z, y, x)):
                    total[number, axis] += place
                    low[number, axis] = min(low[number, axis], place)
                    high[number, axis] = max(high[number, axis], place + 1)
    return size, low, high, total


@numba.njit(cache=True)
def _approximate_medoids(labels: Array, size: Array, low: Array, high: Array, anisotropy: float) -> Array:
    """By number, the pixel closest to the median along each axis, the first in raster order of several."""
    count = len(size)
    begin = np.zeros(count + 1, np.int64)
    for number in range(1, count):
        begin[number + 1] = begin[number] + size[number]
    free, places = begin.copy(), np.empty((begin[-1], 3), np.int32)
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                number = labels[z, y, x]
                if number > 0:
                    places[free[number], 0], places[free[number], 1], places[free[number], 2] = z, y, x
                    free[number] += 1
    result, median = np.zeros((count, 3)), np.zeros(3)
    scale = np.ones(3, np.float32)
    scale[0] = anisotropy
    for number in range(1, count):
        if not size[number]:
            continue
        own = places[begin[number] : begin[number + 1]]
        for axis in range(3):
            median[axis] = _median(own[:, axis], low[number, axis], high[number, axis], scale[axis])
        least = np.inf
        for place in own:
            distance = 0.0
            for axis in range(3):
                # Rounded to float32, as in a medoid.
                difference = np.float64(np.float32(place[axis]) * scale[axis]) - median[axis]
                distance += difference * difference
            if distance < least:
                least = distance
                for axis in range(3):
                    result[number, axis] = place[axis]
    return result


@numba.njit(cache=True)
def _median(places: Array, low: int, high: int, scale: float) -> float:
    """Of whole numbers from `low` to below `high`, each times `scale`."""
    counts = np.zeros(high - low, np.int64)
    for place in places:
        counts[place - low] += 1
    before, total = 0, 0.0
    for index in range(high - low):
        for wanted in ((len(places) - 1) // 2, len(places) // 2):
            if before <= wanted < before + counts[index]:
                total += np.float64(np.float32(index + low) * scale)
        before += counts[index]
    return total / 2
