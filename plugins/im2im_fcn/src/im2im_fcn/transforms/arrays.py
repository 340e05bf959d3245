"""Samples of numpy arrays and of torch tensors alike, without loading torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from im2im_core import DataError, Image

NumpyArray = np.ndarray[Any, Any]


def as_given(result: NumpyArray, given: Any) -> Any:
    """`result` as what `given` is: a numpy array, or a torch tensor on its device; fractions stay fractions."""
    if isinstance(given, np.ndarray):
        return result
    if result.dtype.kind == "f" and not given.is_floating_point():
        given = given.float()
    return given.new_tensor(result)


def channels_first(image: Image | NumpyArray, spatial_dims: int) -> Any:
    """Pixels (C, [Z,] Y, X), lazy where the image is.

    Raises:
        DataError: an array of another number of axes.
    """
    data: Any = image.channels_first(spatial_dims).data if isinstance(image, Image) else image
    if len(data.shape) != spatial_dims + 1:
        raise DataError(
            f"an image of shape '{tuple(data.shape)}' is not one of {spatial_dims} spatial axes",
            "give channels first, then [Z,] Y, X",
        )
    return data


def finite(pixels: NumpyArray) -> NumpyArray:
    """The same pixels.

    Raises:
        DataError: there are none, or some are NaN or infinite.
    """
    if pixels.size == 0:
        raise DataError("the image is empty", "take it out of the data set")
    if not np.isfinite(pixels).all():
        raise DataError("the image holds NaN or infinite values", "replace them before normalizing")
    return pixels
