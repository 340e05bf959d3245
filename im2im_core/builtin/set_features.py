"""A fixed description of image texture, for comparing sets of images that are no pairs. Imported by factories only.

The features are NOT those of an Inception network, so distances over them cannot be compared with published FID or KID
figures. They need no download, have no weights, take any number of channels, and say nothing about what a picture
shows to people: they see intensity, contrast, sharpness and texture at four scales.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy import ndimage

from im2im_core.builtin.metrics import check_finite
from im2im_core.errors import DataError
from im2im_core.interfaces import NumpyArray

SIGMAS = (1.0, 2.0, 4.0, 8.0)
"""Pixels; scales of the Gaussian derivatives, rising."""
MOST_PLANES = 16
"""Of a stack so many planes, evenly spaced, are looked at."""


def set_features(arrays: Iterable[NumpyArray], tile: int, what: str) -> NumpyArray:
    """Features of all tiles of all images, (tiles, features).

    Args:
        arrays: images (C, [Z,] Y, X); of stacks each plane is looked at by itself.
        tile: side of a tile in pixels.
        what: what the images are, for messages.

    Raises:
        DataError: fewer than two tiles, values that are not finite, or images of different numbers of channels.
    """
    found = [tile_features(array, tile, what) for array in arrays]
    widths = {features.shape[1] for features in found}
    if len(widths) > 1:
        raise DataError(f"the {what}s have different numbers of channels", "compare images of one kind")
    if sum(map(len, found)) < 2:
        raise DataError(
            f"the {what}s give fewer than two tiles of {tile} pixels", "more images are needed, or smaller tiles"
        )
    return np.concatenate(found)


def tile_features(array: NumpyArray, tile: int, what: str) -> NumpyArray:
    """Features of the tiles of one image.

    Of each tile and channel: mean and standard deviation of the intensity, and of the magnitude of the gradient and of
    the Laplacian at each of four scales (18 numbers). Mean and deviation of such filter responses are what Portilla and
    Simoncelli, "A parametric texture model based on joint statistics of complex wavelet coefficients", International
    Journal of Computer Vision 40(1), 2000, call marginal statistics; derivatives of Gaussians stand for wavelets here.

    Args:
        array: (C, [Z,] Y, X).
        tile: side of a tile in pixels; an image is cut into as many tiles as fit best, and all its pixels count.
        what: what the image is, for messages.

    Returns:
        (tiles, 18 C).
    """
    check_finite(array, what)
    planes = array.reshape(array.shape[0], -1, *array.shape[-2:])
    chosen = np.unique(np.linspace(0, planes.shape[1] - 1, min(MOST_PLANES, planes.shape[1])).round().astype(int))
    return np.concatenate([_plane_features(planes[:, index].astype(np.float32), tile) for index in chosen])


def _plane_features(plane: NumpyArray, tile: int) -> NumpyArray:
    starts = [_starts(length, tile) for length in plane.shape[1:]]
    columns = []
    for channel in plane:
        for response in _responses(channel):
            columns += _mean_and_deviation(response, starts)
    return np.stack(columns, axis=1)


def _responses(channel: NumpyArray) -> Iterator[NumpyArray]:
    yield channel
    smooth, before = channel, 0.0
    for sigma in SIGMAS:
        # Gaussians add up: smoothing what is smooth already takes a smaller one. Differences stand for derivatives.
        smooth, before = ndimage.gaussian_filter(smooth, np.sqrt(sigma**2 - before**2)), sigma
        slopes = (ndimage.correlate1d(smooth, (-0.5, 0.0, 0.5), axis=axis) for axis in (0, 1))
        yield np.hypot(*slopes)
        yield ndimage.laplace(smooth)


def _starts(length: int, tile: int) -> NumpyArray:
    count = max(1, round(length / tile))
    return np.linspace(0, length, count + 1).astype(int)[:-1]


def _mean_and_deviation(response: NumpyArray, starts: list[NumpyArray]) -> list[NumpyArray]:
    """Of each tile, flat."""
    response = response.astype(np.float64)
    # Around the mean of the plane, since the difference of two large sums of squares is inaccurate.
    middle = response.mean()
    area = _sums(np.ones(response.shape), starts)
    mean = _sums(response - middle, starts) / area
    square = _sums((response - middle) ** 2, starts) / area
    return [(mean + middle).ravel(), np.sqrt(np.maximum(square - mean**2, 0)).ravel()]


def _sums(response: NumpyArray, starts: list[NumpyArray]) -> NumpyArray:
    sums: NumpyArray = np.add.reduceat(np.add.reduceat(response, starts[0], axis=0), starts[1], axis=1)
    return sums
