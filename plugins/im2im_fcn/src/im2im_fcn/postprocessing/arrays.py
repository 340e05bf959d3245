"""What post-processing takes: class maps and labels ([Z,] Y, X), channels (K, [Z,] Y, X), and sizes in µm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from im2im_core import DataError
from im2im_fcn.postprocessing.config import Activation, Unit

NumpyArray = np.ndarray[Any, Any]


def whole_numbers(array: NumpyArray, spatial_dims: int) -> NumpyArray:
    """Class map or labels ([Z,] Y, X), also from (1, [Z,] Y, X); the caller's pixels, not a copy.

    Raises:
        DataError: several channels, other axes, or fractions.
    """
    if array.ndim == spatial_dims + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != spatial_dims or array.dtype.kind not in "iub":
        raise DataError(
            f"a class map or labels of {spatial_dims} axes are needed, not '{array.dtype}' of shape '{array.shape}'",
            "put class-map or threshold before this step",
        )
    return array


def channels(array: NumpyArray, spatial_dims: int) -> NumpyArray:
    """Channels (K, [Z,] Y, X), also from ([Z,] Y, X).

    Raises:
        DataError: other axes.
    """
    if array.ndim == spatial_dims:
        return array[None]
    if array.ndim != spatial_dims + 1:
        raise DataError(f"a prediction of {spatial_dims} spatial axes is needed, not one of shape '{array.shape}'")
    return array


def channel_of(array: NumpyArray, channel: int, activation: Activation) -> NumpyArray:
    """One channel of (K, [Z,] Y, X) after the activation, as float.

    Raises:
        DataError: there is no such channel.
    """
    if channel >= len(array):
        raise DataError(f"there is no channel '{channel}' among {len(array)}", f"choose one from 0 to {len(array) - 1}")
    chosen: NumpyArray = array[channel]
    if activation == "none":
        return chosen
    from scipy import special

    values = array.astype(np.float32, copy=False)
    chosen = special.expit(values[channel])
    if activation == "softmax":
        chosen = np.exp(values[channel] - special.logsumexp(values, axis=0))
    return chosen


def in_pixels(size: float, unit: Unit, pixel_size: Mapping[str, float], axes: str) -> float:
    """An area or volume in pixels.

    Args:
        size: in pixels, or in µm to the power of the number of axes.
        unit: which of the two.
        pixel_size: micrometre per axis letter, as far as it is known.
        axes: letters of the axes it extends over.

    Raises:
        DataError: the pixel size is needed and not known.
    """
    if unit == "pixel":
        return size
    return size / math.prod(lengths(pixel_size, axes))


def lengths(pixel_size: Mapping[str, float], axes: str) -> list[float]:
    """Micrometre per pixel along each of `axes`.

    Raises:
        DataError: one is not known.
    """
    unknown = [axis for axis in axes if pixel_size.get(axis, 0) <= 0]
    if unknown:
        raise DataError(
            f"a size is given in micrometres, but the pixel size along '{''.join(unknown)}' is not known",
            "set unit: pixel, or store the pixel size in the image",
        )
    return [pixel_size[axis] for axis in axes]


def round_up(number: float) -> int:
    """The next whole number, where 12 that came out as 12.000000001 stays 12."""
    return math.ceil(number - 1e-6)
