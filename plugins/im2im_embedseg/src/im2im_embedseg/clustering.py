"""Greedy clustering of spatial embeddings into objects.

Neven et al. 2019 (CVPR), section 3.4; Lalit et al. 2022 (Medical Image Analysis 81:102523). The pixel with the highest
seed value proposes an object: all pixels whose embedding lies in the ellipsoid where phi, with the bandwidths of that
pixel, is above one half. Then the next pixel that is in no proposal yet, and so on.

Embeddings are sorted once into cells of the embedding space, so a proposal looks at the cells around it, not at all
pixels: the cost is about linear in the number of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from im2im_embedseg.coordinates import axis_coordinates, check_geometry, spacing

Array: TypeAlias = NDArray[Any]

# phi = exp(-d), in float32, is above one half for d below this number, the float32 next below ln 2.
_HALF = np.float32(0.6931471)
_CELLS_PER_PIXEL = 2
# Enough candidates for a median.
_SAMPLED = 1 << 16


def cluster(prediction: Array, **settings: Any) -> Array:
    """Labels alone; arguments and errors are those of `cluster_objects`."""
    labels: Array = cluster_objects(prediction, **settings)[0]
    return labels


def cluster_objects(
    prediction: Array,
    *,
    grid: Sequence[int],
    pixel: Sequence[float],
    n_sigma: int,
    seed_threshold: float = 0.5,
    min_mask_sum: int = 0,
    min_unclustered_sum: int = 0,
    min_object_size: int = 36,
    foreground_threshold: float = 0.5,
) -> tuple[Array, Array]:
    """Turn a prediction into labels, with a score for each.

    Args:
        prediction: (D + n_sigma + 1, [Z], Y, X), raw network output: offsets x, y[, z] before tanh, sigmas, seed before
            the sigmoid.
        grid: pixels over which a coordinate axis extends, ([Z], Y, X).
        pixel: length of such an axis in coordinate units, ([Z], Y, X).
        n_sigma: bandwidth channels, one per axis, or 1 that all axes share.
        seed_threshold: least seed value (0 to 1) of a pixel that may propose an object.
        min_mask_sum: with no more candidates than this the result is empty.
        min_unclustered_sum: stop when no more candidates than this are in no proposal.
        min_object_size: a proposal becomes an object if it has more pixels than this, and if more than half of them
            were in no proposal before; it then takes its pixels away from earlier objects.
        foreground_threshold: pixels with a seed value above this are candidates.

    Returns:
        ([Z], Y, X) labels 1, 2, ... in the order of acceptance, 0 = background; uint16, or uint32 where there are more
        than 65535 objects; and of each label the seed value of the pixel that founded it, float32.

    Raises:
        ValueError: NaN in the prediction, or arguments that do not fit together.
    """
    shape = prediction.shape[1:]
    dims = len(shape)
    check_geometry(dims, n_sigma, grid, pixel)
    if len(prediction) != dims + n_sigma + 1:
        raise ValueError(f"the prediction has {len(prediction)} channels, expected {dims + n_sigma + 1}")
    channels = [np.ascontiguousarray(channel, dtype=np.float32).reshape(-1) for channel in prediction]
    # The minimum is NaN where there is one: a test that needs no memory.
    if channels[0].size and any(np.isnan(channel.min()) for channel in channels):
        raise ValueError("the prediction contains NaN")
    # tanh and sigmoid of torch, as in training, so that a pixel next to a threshold falls on the same side.
    seed = channels[-1].copy()
    torch.sigmoid_(torch.from_numpy(seed))
    candidates = np.flatnonzero(seed > np.float64(foreground_threshold))
    if len(candidates) <= max(min_mask_sum, 0):
        return np.zeros(shape, np.uint16), np.zeros(0, np.float32)
    position = _positions(channels[:dims], candidates, shape, spacing(grid, pixel))
    sigmas = [channels[dims + channel][candidates] for channel in range(n_sigma)] * (dims // n_sigma)
    low, size, number = _cells(position, sigmas)
    starts, rank, placed = _sort_into_cells(_three(position), low, size, number)
    founders = _by_falling_seed(seed[candidates], seed_threshold)
    bins, least = (starts, low, size, number), (min_object_size, min_unclustered_sum)
    found, accepted = _grow(founders, rank, bins, placed, _three(sigmas), least)
    labels = np.zeros(seed.size, np.uint16 if len(accepted) < 2**16 else np.uint32)
    labels[candidates] = found[rank]
    return labels.reshape(shape), seed[candidates[accepted]]


def _positions(
    offsets: Sequence[Array], candidates: Array, shape: Sequence[int], steps: Sequence[float]
) -> list[Array]:
    """Embeddings of the candidates, one array (n,) per axis, x first."""
    result = []
    stride = 1
    for offset, length, step in zip(offsets, reversed(shape), reversed(steps), strict=True):
        coordinate = axis_coordinates(length, step).numpy()
        index = candidates // stride
        index %= length
        embedding = torch.tanh(torch.from_numpy(offset[candidates])).numpy()
        embedding += coordinate[index]
        result.append(embedding)
        stride *= length
    return result


def _cells(position: Sequence[Array], sigmas: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Lower corner, size and number of the cells, each (3,), x first; in 2D there is one layer of cells."""
    dims, count = len(position), len(position[0])
    low, extent, size, number = np.zeros(3), np.zeros(3), np.ones(3), np.ones(3, np.int64)
    for axis, (values, sigma) in enumerate(zip(position, sigmas, strict=True)):
        low[axis] = values.min()
        extent[axis] = values.max() - low[axis]
        # Half the radius of a typical proposal, so that not many pixels outside it are looked at.
        typical = np.median(sigma[:: -(-count // _SAMPLED)].clip(-10, 10))
        radius = math.sqrt(math.log(2)) * math.exp(-5 * typical)
        size[axis] = max(radius / 2, 1e-6 * extent[axis], 1e-30)
    # Tiny bandwidths would ask for far more cells than there are pixels.
    most = _CELLS_PER_PIXEL * count + 4096
    while (total := math.prod(np.floor(extent / size) + 1)) > most:
        size *= 1.01 * (total / most) ** (1 / dims)
    number[:] = np.floor(extent / size) + 1
    return low, size, number


def _three(axes: Sequence[Array]) -> tuple[Array, Array, Array]:
    """x, y, z; in 2D an empty z, which the compiled code leaves alone."""
    return axes[0], axes[1], axes[2] if len(axes) == 3 else axes[0][:0]


def _by_falling_seed(seed: Array, threshold: float) -> Array:
    """Indices of the candidates whose seed value is at least `threshold`; equal values in raster order."""
    eligible = np.flatnonzero(seed >= np.float64(threshold))
    # Bits of a float that is not negative sort like an integer, for which torch has a radix sort.
    key = torch.from_numpy(~seed[eligible].view(np.int32))
    order: Array = torch.argsort(key, stable=True).numpy()
    return eligible[order]


@numba.njit(cache=True)
def _cell_index(position: float, low: float, size: float, number: int) -> int:
    # Rises with the position, so that the cells of a box contain every position in it. Clamped while a float: a huge
    # radius does not fit an integer.
    return int(min(max((position - low) / size, 0.0), number - 1.0))


@numba.njit(cache=True)
def _sort_into_cells(
    position: tuple[Array, Array, Array], low: Array, size: Array, number: Array
) -> tuple[Array, Array, tuple[Array, Array, Array]]:
    """Counting sort.

    Returns:
        Where each cell begins; the place of each candidate in the sorted order; the positions in that order.
    """
    x, y, z = position
    count, solid = len(x), len(z) > 0
    cell = np.empty(count, np.int32)
    starts = np.zeros(number[0] * number[1] * number[2] + 1, np.int32)
    for i in range(count):
        index = _cell_index(z[i], low[2], size[2], number[2]) if solid else 0
        index = index * number[1] + _cell_index(y[i], low[1], size[1], number[1])
        index = index * number[0] + _cell_index(x[i], low[0], size[0], number[0])
        cell[i] = index
        starts[index + 1] += 1
    for i in range(1, len(starts)):
        starts[i] += starts[i - 1]
    # While places are given out, starts[c] is the next free place of cell c; at the end, where cell c + 1 begins.
    rank = np.empty(count, np.int32)
    xs, ys, zs = np.empty_like(x), np.empty_like(y), np.empty_like(z)
    for i in range(count):
        place = starts[cell[i]]
        starts[cell[i]] = place + 1
        rank[i] = place
        xs[place], ys[place] = x[i], y[i]
        if solid:
            zs[place] = z[i]
    for i in range(len(starts) - 1, 0, -1):
        starts[i] = starts[i - 1]
    starts[0] = 0
    return starts, rank, (xs, ys, zs)


@numba.njit(cache=True)
def _grow(
    founders: Array,
    rank: Array,
    bins: tuple[Array, Array, Array, Array],
    placed: tuple[Array, Array, Array],
    sigmas: tuple[Array, Array, Array],
    least: tuple[int, int],
) -> tuple[Array, Array]:
    """Labels of the candidates, in the order of `placed`, and the founder of each label."""
    starts, low, size, number = bins
    min_object_size, min_unclustered_sum = least
    x, y, z = placed
    solid, ten = len(z) > 0, np.float32(10)
    labels = np.zeros(len(x), np.uint32)
    clustered = np.zeros(len(x), np.bool_)
    members = np.empty(len(x), np.int32)
    middle, first, last = np.zeros(3), np.zeros(3, np.int64), np.zeros(3, np.int64)
    accepted_founders = np.empty(len(founders), np.int64)
    left, label = len(x), 0
    for founder in founders:
        seed = rank[founder]
        if clustered[seed]:
            continue
        if left <= min_unclustered_sum:
            break
        clustered[seed] = True
        left -= 1
        cx, cy, cz = x[seed], y[seed], np.float32(0)
        sx, sy, sz = np.exp(ten * sigmas[0][founder]), np.exp(ten * sigmas[1][founder]), np.float32(1)
        if solid:
            cz, sz = z[seed], np.exp(ten * sigmas[2][founder])
        middle[0], middle[1], middle[2] = cx, cy, cz
        for axis, scale in enumerate((sx, sy, sz)):
            # A little more than the ellipsoid, so that rounding does not decide; the test of each pixel follows.
            radius = 1.0001 * math.sqrt(0.6931472 / max(float(scale), 1e-30)) + 1e-12
            first[axis] = _cell_index(middle[axis] - radius, low[axis], size[axis], number[axis])
            last[axis] = _cell_index(middle[axis] + radius, low[axis], size[axis], number[axis])
        count, free = 0, 0
        for layer in range(first[2], last[2] + 1):
            for line in range(first[1], last[1] + 1):
                row = (layer * number[1] + line) * number[0]
                for place in range(starts[row + first[0]], starts[row + last[0] + 1]):
                    dx, dy = x[place] - cx, y[place] - cy
                    distance = dx * dx * sx + dy * dy * sy
                    if solid:
                        dz = z[place] - cz
                        distance += dz * dz * sz
                    if distance < _HALF:
                        members[count] = place
                        count += 1
                        free += not clustered[place]
        accepted = count > min_object_size and 2 * free > count
        if accepted:
            accepted_founders[label] = founder
            label += 1
        for place in members[:count]:
            clustered[place] = True
            if accepted:
                labels[place] = label
        left -= free
    return labels, accepted_founders[:label]
