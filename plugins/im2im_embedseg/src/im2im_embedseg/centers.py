"""The centre of an object: centroid, approximate medoid or medoid (Lalit et al. 2022, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from im2im_embedseg.instances import Instances, find_instances, segment_mean

Method = Literal["centroid", "approximate-medoid", "medoid"]
_ROWS = 2048


def object_centers(
    found: Instances, where: Tensor, method: Method, steps: Sequence[float], center_image: Tensor | None = None
) -> Tensor:
    """Coordinates of every object's centre.

    Args:
        found: the objects.
        where: (F, D) coordinates of their pixels, x first.
        method: used when there is no centre image.
        steps: spacing per axis, unused by the centroid; pixels are compared in units of the last axis.
        center_image: (B, 1, [Z], Y, X), not 0 at the centres.

    Returns:
        (K, D), x first, without gradient.
    """
    center = segment_mean(where, found.owner, found.count)
    if center_image is not None:
        marked = center_image.reshape(-1)[found.pixel] != 0
        owner = found.owner[marked]
        number = torch.bincount(owner, minlength=found.count)
        at_mark = torch.zeros_like(center).index_add_(0, owner, where[marked])
        # A crop may cut the mark off, or touch objects that were joined: then the mean is all there is.
        return torch.where((number == 1)[:, None], at_mark, center)
    if method == "centroid":
        return center
    return where[representatives(found.owner, where / steps[-1], found.count, method)]


def representatives(owner: Tensor, where: Tensor, count: int, method: Method) -> Tensor:
    """The pixel of each object that is its (approximate) medoid.

    Args:
        owner: (F,) object of each pixel.
        where: (F, D) positions in pixels.
        count: number of objects K.
        method: "approximate-medoid": the pixel closest to the median of every axis; "medoid": the pixel with the least
            sum of distances to all pixels of the object. The first in raster order where several are.

    Returns:
        (K,) indices into the list of pixels.
    """
    order = torch.argsort(owner, stable=True)
    size = torch.bincount(owner, minlength=count)
    start = torch.cumsum(size, 0) - size
    if method == "medoid":
        cost = torch.cat([_distance_sums(part) for part in where[order].split(size.tolist())])
    else:
        median = torch.stack([_segment_median(owner, axis, start, size) for axis in where.unbind(1)], dim=1)
        cost = (where[order] - median[owner[order]]).square().sum(1)
    least = torch.full((count,), torch.inf, device=cost.device).scatter_reduce(0, owner[order], cost, "amin")
    places = torch.arange(len(order), device=order.device)
    places = torch.where(cost == least[owner[order]], places, len(order))
    first = torch.full_like(size, len(order)).scatter_reduce(0, owner[order], places, "amin")
    return order[first]


def _segment_median(owner: Tensor, values: Tensor, start: Tensor, size: Tensor) -> Tensor:
    by_value = torch.argsort(values, stable=True)
    ordered = values[by_value[torch.argsort(owner[by_value], stable=True)]]
    return (ordered[start + (size - 1) // 2] + ordered[start + size // 2]) / 2


def _distance_sums(points: Tensor) -> Tensor:
    """Sum of the distances of every point to all others, some rows at a time to bound the memory."""
    parts = [torch.cdist(rows, points, compute_mode="donot_use_mm_for_euclid_dist").sum(1) for rows in points.split(_ROWS)]
    return torch.cat(parts)


def center_image(
    labels: np.ndarray[Any, Any], method: Method, *, anisotropy: float = 1.0, speed_up: int = 1
) -> np.ndarray[Any, Any]:
    """Mark one pixel per object.

    Args:
        labels: ([Z], Y, X) integers, 0 = background.
        method: which pixel, see `representatives`; "centroid" rounds the mean of the coordinates half to even.
        anisotropy: size of a voxel in Z over that in X and Y, for the medoids.
        speed_up: look at every n-th pixel in Y and X only.

    Returns:
        ([Z], Y, X) uint8, 1 at the centres.

    Raises:
        ValueError: unknown method.
    """
    if method not in get_args(Method):
        raise ValueError(f"unknown centre '{method}'; one of {', '.join(get_args(Method))}")
    thinned = labels[(..., slice(None, None, speed_up), slice(None, None, speed_up))]
    flat = torch.from_numpy(np.ascontiguousarray(thinned, dtype=np.int64)).reshape(1, -1)
    found = find_instances(flat)
    result = np.zeros(labels.shape, np.uint8)
    if not found.count:
        return result
    index = np.stack(np.unravel_index(found.pixel.numpy(), thinned.shape), axis=1)
    scale = np.ones(labels.ndim)
    scale[-2:] = speed_up
    if method == "centroid":
        means = segment_mean(torch.from_numpy(index.astype(np.float64)), found.owner, found.count).numpy()
        positions = np.rint(means * scale).astype(int)
    else:
        stretched = index.astype(np.float32)
        if labels.ndim == 3:
            stretched[:, 0] *= anisotropy
        chosen = representatives(found.owner, torch.from_numpy(stretched), found.count, method)
        positions = np.rint(index[chosen.numpy()] * scale).astype(int)
    result[tuple(positions.T)] = 1
    return result
