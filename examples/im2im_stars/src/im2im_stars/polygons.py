"""Star-convex polygons as arrays: area, overlap, non-maximum suppression. Loads numpy and scipy only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.intp]
_RINGS = 6  # points at which overlap is measured: so many along each ray


def directions(rays: int) -> list[tuple[float, float]]:
    """Unit vectors (Y, X) at equal angles: the first along X, then towards Y."""
    # Rounded, so that turns by quarters of a circle turn the rays into one another exactly.
    angles = [2 * math.pi * ray / rays for ray in range(rays)]
    return [(round(math.sin(angle), 12), round(math.cos(angle), 12)) for angle in angles]


def areas(distance: Floats) -> Floats:
    """Areas (N,) in square pixels of polygons with distances (N, rays): triangles between one ray and the next."""
    sine = np.sin(2 * np.pi / distance.shape[1])
    result: Floats = 0.5 * sine * (distance * np.roll(distance, -1, axis=1)).sum(1)
    return result


def corners(center: Floats, distance: Floats) -> Floats:
    """(N, rays, 2) in Y, X, from centres (N, 2) and distances (N, rays)."""
    result: Floats = center[:, None] + distance[..., None] * np.array(directions(distance.shape[1]))
    return result


def ious(center: Floats, distance: Floats, centers: Floats, distances: Floats) -> Floats:
    """Intersection over union of one polygon with each of others.

    The intersection is measured at points of the one polygon, spread evenly over each of its triangles, so that the
    time does not depend on the size of objects.

    Args:
        center: (2,) in Y, X.
        distance: (rays,) in pixels.
        centers: (N, 2).
        distances: (N, rays).

    Returns:
        (N,), 0 to 1.
    """
    corner = corners(center[None], distance[None])[0]
    middle = (corner + np.roll(corner, -1, axis=0)) / 2 - center
    out = np.sqrt((np.arange(_RINGS) + 0.5) / _RINGS)
    points = (center + out[:, None, None] * middle).reshape(-1, 2)
    weight = np.tile(distance * np.roll(distance, -1), _RINGS)
    own, others = areas(distance[None]), areas(distances)
    share = (inside(points, centers, distances) @ weight) / weight.sum()
    # More than the smaller of both it cannot be; measured at points it may seem so.
    common = np.minimum(share * own, others)
    result: Floats = common / (own + others - common)
    return result


def inside(points: Floats, centers: Floats, distances: Floats) -> NDArray[np.bool_]:
    """Whether points (P, 2) lie in polygons of centres (N, 2) and distances (N, rays): (N, P)."""
    rays = distances.shape[1]
    y, x = (points[None] - centers[:, None]).astype(np.float32).transpose(2, 0, 1)
    sector = np.floor(np.arctan2(y, x) * (rays / (2 * np.pi))).astype(np.intp) % rays
    after = (sector + 1) % rays
    near, far = (np.take_along_axis(distances, index, axis=1) for index in (sector, after))
    sine, cosine = np.array(directions(rays), dtype=np.float32).T
    # Between two rays the border is a line: linear in what the point is off the one ray and the other.
    from_near = y * cosine[sector] - x * sine[sector]
    from_far = x * sine[after] - y * cosine[after]
    result: NDArray[np.bool_] = near * from_near + far * from_far <= near * far * np.float32(np.sin(2 * np.pi / rays))
    return result


def suppress(center: Floats, distance: Floats, overlap: float) -> Integers:
    """Greedy non-maximum suppression: what overlaps with a better polygon that is kept is dropped.

    Args:
        center: (N, 2) in Y, X, the best polygon first.
        distance: (N, rays) in pixels, of areas above 0.
        overlap: largest IoU of two polygons that are kept.

    Returns:
        Indices of those kept, rising.
    """
    area, free = areas(distance), np.ones(len(center), bool)
    reach = distance.max(1, initial=0)
    trees = list(_by_reach(center, reach))
    kept = []
    for index in range(len(center)):
        if not free[index]:
            continue
        kept.append(index)
        free[index] = False
        found = [own[tree.query_ball_point(center[index], reach[index] + most)] for tree, own, most in trees]
        near = np.concatenate(found)
        # No IoU is larger than the ratio of areas.
        near = near[free[near]]
        ratio = area[near] / area[index]
        near = near[np.minimum(ratio, 1 / ratio) > overlap]
        free[near[ious(center[index], distance[index], center[near], distance[near]) > overlap]] = False
    return np.array(kept, dtype=np.intp)


def _by_reach(center: Floats, reach: Floats) -> Iterator[tuple[Any, Integers, float]]:
    """Trees of polygons of similar size, so that a few large ones do not make every search a wide one."""
    size = np.ceil(np.log2(np.maximum(reach, 1)))
    for each in np.unique(size):
        own = np.flatnonzero(size == each)
        yield cKDTree(center[own]), own, float(2**each)
