"""Greedy clustering of spatial embeddings: Neven et al. 2019, CVPR, section 3.4; Lalit et al. 2022.

The pixel with the highest seed value founds an object: all pixels whose embedding is within its bandwidth. Pixels are kept
in cells of the embedding space, so a proposal looks at its neighbourhood and not at the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]
MAX_CELLS_PER_PIXEL = 4


def cluster(
    prediction: Array,
    *,
    grid: Sequence[int],
    pixel: Sequence[float],
    n_sigma: int,
    seed_threshold: float = 0.5,
    foreground_threshold: float = 0.5,
    min_object_size: int = 36,
    min_mask_sum: int = 0,
    min_unclustered_sum: int = 0,
) -> Array:
    """From a prediction to labels.

    Args:
        prediction: (D + n_sigma + 1, [Z], Y, X) raw: offsets x, y[, z], sigmas, seed.
        grid: pixels over which a coordinate axis extends, ([Z], Y, X).
        pixel: length of such an axis, ([Z], Y, X).
        n_sigma: bandwidth channels; 1 shares one among all axes.
        seed_threshold: least seed value (0 to 1) that may found an object.
        foreground_threshold: pixels above this seed value may belong to an object.
        min_object_size: proposals of at most so many pixels are dropped.
        min_mask_sum: with no more candidates than this the result is empty.
        min_unclustered_sum: stop when no more candidates than this are left.

    Returns:
        ([Z], Y, X) labels 1, 2, ... in order of acceptance, uint16, or uint32 where there are more than 65535.

    Raises:
        ValueError: the prediction holds NaN or infinite values.
    """
    shape = prediction.shape[1:]
    dims = len(shape)
    if not np.isfinite(prediction).all():
        raise ValueError("the prediction holds NaN or infinite values")
    flat = prediction.reshape(len(prediction), -1)
    seed = _sigmoid(flat[dims + n_sigma])
    candidates = np.flatnonzero(seed > foreground_threshold)
    labels = np.zeros(flat.shape[1], np.int32)
    if len(candidates) <= min_mask_sum or not len(candidates):
        return labels.astype(np.uint16).reshape(shape)
    embedding = np.empty((len(candidates), dims), np.float32)
    for axis, index in enumerate(np.unravel_index(candidates, shape)[::-1]):
        step = np.float32(pixel[dims - 1 - axis] / (grid[dims - 1 - axis] - 1))
        embedding[:, axis] = np.tanh(flat[axis, candidates]) + index.astype(np.float32) * step
    scale = np.empty((len(candidates), dims), np.float32)
    for axis in range(dims):
        scale[:, axis] = np.exp(10 * flat[dims + min(axis, n_sigma - 1), candidates])
    seed = seed[candidates]
    low, size, counts, order, starts = _sort_into_cells(embedding, scale)
    by_seed = np.argsort(-seed, kind="stable")
    found = _grow(
        embedding, scale, seed, by_seed, low, size, counts, order, starts, seed_threshold, min_object_size, min_unclustered_sum
    )
    labels[candidates] = found
    return labels.astype(np.uint16 if found.max() < 2**16 else np.uint32).reshape(shape)


def _sigmoid(x: Array) -> Array:
    # tanh does not overflow.
    half = np.float32(0.5)
    result: Array = half * (np.tanh(half * x.astype(np.float32)) + 1)
    return result


def _sort_into_cells(embedding: Array, scale: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Cells of about half the median bandwidth, the pixels in their order, and where each cell begins."""
    low, high = embedding.min(0), embedding.max(0)
    radius = np.sqrt(np.log(2) / np.clip(np.median(scale, axis=0), 1e-12, 1e12)) / 2
    limit = max(1.0, MAX_CELLS_PER_PIXEL * len(embedding)) ** (1 / embedding.shape[1])
    size = np.maximum(radius, (high - low) / limit).clip(min=1e-12).astype(np.float64)
    index = ((embedding - low) / size).astype(np.int64)
    counts = index.max(0) + 1
    cell = np.zeros(len(embedding), np.int64)
    for axis in reversed(range(len(counts))):
        cell = cell * counts[axis] + index[:, axis]
    order = np.argsort(cell, kind="stable")
    starts = np.zeros(int(counts.prod()) + 1, np.int64)
    np.cumsum(np.bincount(cell, minlength=len(starts) - 1), out=starts[1:])
    return low.astype(np.float64), size, counts, order, starts


@numba.njit(cache=True)
def _grow(
    embedding: Array,
    scale: Array,
    seed: Array,
    by_seed: Array,
    low: Array,
    size: Array,
    counts: Array,
    order: Array,
    starts: Array,
    seed_threshold: float,
    min_object_size: int,
    min_unclustered_sum: int,
) -> Array:
    count, dims = embedding.shape
    labels = np.zeros(count, np.int32)
    clustered = np.zeros(count, np.bool_)
    proposal = np.empty(count, np.int64)
    first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
    left, label = count, 0
    for founder in by_seed:
        if clustered[founder]:
            continue
        if left <= min_unclustered_sum or seed[founder] < seed_threshold:
            break
        clustered[founder] = True
        left -= 1
        for axis in range(dims):
            # A little wider than {phi > 1/2}, so that rounding never decides; the exact test follows per pixel.
            radius = 1.0001 * np.sqrt(0.6931472 / max(scale[founder, axis], 1e-30)) + 1e-9
            begin = np.floor((embedding[founder, axis] - radius - low[axis]) / size[axis])
            end = np.floor((embedding[founder, axis] + radius - low[axis]) / size[axis])
            first[axis] = np.int64(min(max(begin, 0.0), counts[axis] - 1.0))
            last[axis] = np.int64(min(max(end, 0.0), counts[axis] - 1.0))
        members, unclustered = 0, 0
        for z in range(first[2], last[2] + 1):
            for y in range(first[1], last[1] + 1):
                row = y * counts[0] if dims == 2 else (z * counts[1] + y) * counts[0]
                for place in range(starts[row + first[0]], starts[row + last[0] + 1]):
                    other = order[place]
                    distance = np.float32(0)
                    for axis in range(dims):
                        difference = embedding[other, axis] - embedding[founder, axis]
                        distance += difference * difference * scale[founder, axis]
                    if np.exp(-distance) > 0.5:
                        proposal[members] = other
                        members += 1
                        if not clustered[other]:
                            unclustered += 1
        accepted = members > min_object_size and 2 * unclustered > members
        if accepted:
            label += 1
        for place in range(members):
            other = proposal[place]
            if accepted:
                labels[other] = label
            if not clustered[other]:
                clustered[other] = True
                left -= 1
    return labels
