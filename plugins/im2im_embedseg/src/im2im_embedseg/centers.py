"""The centre of an object: centroid, approximate medoid or medoid (Lalit et al. 2022, Medical Image Analysis)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from im2im_embedseg.boxes import boxed_objects
from im2im_embedseg.instances import Instances

Method = Literal["centroid", "approximate-medoid", "medoid"]

# Distances held in memory at a time while a medoid is looked for.
_DISTANCES = 1 << 22


def check_method(method: str) -> None:
    """Refuse an unknown method.

    Raises:
        ValueError: `method` is none of `Method`.
    """
    if method not in get_args(Method):
        raise ValueError(f"unknown centre '{method}'; one of {', '.join(get_args(Method))}")


def object_centers(
    found: Instances, coordinates: Tensor, method: Method = "centroid", center_image: Tensor | None = None
) -> Tensor:
    """Coordinates of the objects' centres.

    Args:
        found: K objects of a batch.
        coordinates: (D, [Z], Y, X), x first.
        method: "centroid" is the mean of the coordinates, here not rounded to a pixel; the others are pixels, with
            distances in pixels. Unused where there is a centre image.
        center_image: (B, 1, [Z], Y, X), not 0 at centres. A crop may cut off the mark of an object, and objects may
            have been joined: without exactly one mark the centre is the mean.

    Returns:
        (K, D) float32, x first, without gradient, on the device of `coordinates`.
    """
    shape = coordinates.shape[1:]
    place = found.pixel % shape.numel()
    where = torch.stack([axis.reshape(-1).index_select(0, place) for axis in coordinates], dim=1)
    mean = torch.stack([found.mean(axis) for axis in where.unbind(1)], dim=1)
    if center_image is not None:
        marked = (center_image.reshape(-1).index_select(0, found.pixel) != 0).nonzero()[:, 0]
        owner = found.owner.index_select(0, marked)
        marks = torch.bincount(owner, minlength=found.count)
        at_mark = torch.zeros_like(mean).index_add_(0, owner, where.index_select(0, marked))
        return torch.where((marks == 1)[:, None], at_mark, mean)
    if method == "centroid":
        return mean
    positions = np.stack(np.unravel_index(place.cpu().numpy(), shape), axis=1).astype(np.float32)
    chosen = _representatives(positions, found.size.cpu().numpy(), method)
    return where.index_select(0, torch.from_numpy(chosen).to(where.device))


def center_image(
    labels: NDArray[Any], method: Method, *, anisotropy_factor: float = 1.0, speed_up: int = 1
) -> NDArray[np.uint8]:
    """Mark one pixel per object.

    Args:
        labels: ([Z], Y, X) integers, 0 = background.
        method: "centroid", the mean of the coordinates, rounded (half to even), which may lie outside the object;
            "approximate-medoid", the object's pixel closest to the median along each axis; "medoid", the one with the
            least sum of distances to all the object's pixels. Of several such pixels the first in raster order.
        anisotropy_factor: distance of neighbours in Z over that in Y and X; for the medoids of a 3D image.
        speed_up: look at every n-th pixel in Y and X only.

    Returns:
        ([Z], Y, X), 1 at the centres and 0 elsewhere.

    Raises:
        ValueError: the method is unknown, `speed_up` is below 1, or the image is not 2D or 3D.
    """
    check_method(method)
    if labels.ndim not in (2, 3) or speed_up < 1:
        raise ValueError(f"labels must be 2D or 3D and speed_up at least 1, not {labels.ndim}D and {speed_up}")
    marks = np.zeros(labels.shape, np.uint8)
    thinned = boxed_objects(labels[..., ::speed_up, ::speed_up])
    position = [center_of(found.pixels, method, anisotropy_factor) for found in thinned]
    if position:
        stretched = np.stack(position)
        stretched[:, -2:] *= speed_up
        marks[tuple(np.rint(stretched).astype(np.int64).T)] = 1
    return marks


def center_of(pixels: NDArray[np.int64], method: Method, anisotropy_factor: float = 1.0) -> NDArray[np.float64]:
    """The centre of one object; not rounded where it is the centroid.

    Args:
        pixels: (P, D), [Z], Y, X.
        method: as of `center_image`.
        anisotropy_factor: likewise.

    Returns:
        (D,), [Z], Y, X.
    """
    if method == "centroid":
        mean: NDArray[np.float64] = pixels.sum(axis=0) / len(pixels)
        return mean
    stretched = pixels.astype(np.float32)
    if pixels.shape[1] == 3:
        stretched[:, 0] *= anisotropy_factor
    if method == "medoid":
        distance = _distance_sums(stretched)
    else:
        distance = sum((axis - _median(axis)) ** 2 for axis in stretched.T.astype(np.float64))
    chosen: NDArray[np.float64] = pixels[int(np.argmin(distance))].astype(np.float64)
    return chosen


def _median(values: NDArray[np.float64]) -> np.float64:
    """As np.median, which takes five times as long for the few pixels of an object."""
    ordered = np.sort(values)
    middle: np.float64 = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return middle


def _representatives(positions: NDArray[np.float32], size: NDArray[np.int64], method: Method) -> NDArray[np.int64]:
    """The pixel of each object that is its medoid or approximate medoid.

    Args:
        positions: (F, D), object after object.
        size: (K,) pixels of each object.
        method: one of the two.

    Returns:
        (K,) indices into `positions`.
    """
    start = size.cumsum() - size
    if method == "medoid":
        chosen = [np.argmin(_distance_sums(positions[a : a + n])) for a, n in zip(start, size, strict=True)]
        return start + np.array(chosen)
    owner = np.repeat(np.arange(len(size)), size)
    distance = np.zeros(len(owner))
    for axis in positions.T.astype(np.float64):
        ordered = axis[np.lexsort((axis, owner))]
        median = (ordered[start + (size - 1) // 2] + ordered[start + size // 2]) / 2
        distance += (axis - median[owner]) ** 2
    least = np.minimum.reduceat(distance, start)
    closest = np.flatnonzero(distance == least[owner])
    return closest[np.unique(owner[closest], return_index=True)[1]]


def _distance_sums(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(P,) sum of the distances of each of P points to all: time P^2, memory bounded."""
    total = np.zeros(len(points), np.float32)
    for rows in _row_blocks(points):
        squares = sum((rows[:, None, axis] - points[None, :, axis]) ** 2 for axis in range(points.shape[1]))
        # Summed one after the other in single precision, whatever the size of a block: where two pixels are equally
        # good, as in a ring, rounding makes the choice, and that should depend on the object only.
        total = np.concatenate([total[None], np.sqrt(squares)]).sum(axis=0)
    return total


def _row_blocks(points: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    step = max(1, _DISTANCES // len(points))
    for begin in range(0, len(points), step):
        yield points[begin : begin + step]
