"""The `numpy` reader: `.npy` files, memory-mapped."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_core.interfaces import ReadImage
from im2im_io.axes import channels_before_plane, name_axes
from im2im_io.config import NumpyReaderConfig
from im2im_io.lazy import Regions, lazy_array, reason, taller


def numpy_reader(config: NumpyReaderConfig) -> ReadImage:
    """`read(path) -> Image`. Axes follow from the number of dimensions, by the rule of `im2im_io.axes.name_axes`."""

    def read(path: Path) -> Image:
        """Map the file.

        Raises:
            DataError: damaged, not of numbers, or of one dimension.
        """
        data = _map(path)
        if data.dtype.kind not in "buif":
            raise DataError(
                f"'{path.name}' holds values of type '{data.dtype}', not pixels", "save an array of numbers"
            )
        if data.ndim < 2:
            raise DataError(
                f"'{path.name}' has {data.ndim} dimensions: no image", "save an array with at least Y and X"
            )
        axes = name_axes("Q" * (data.ndim - 2) + "YX", data.shape, path.name, config.axes)
        if data.dtype.isnative:
            return Image(*channels_before_plane(data, axes))
        rows = taller(data.shape, (1,) * (data.ndim - 1) + data.shape[-1:], data.ndim - 2, data.itemsize)
        lazy = lazy_array(Regions(path, functools.partial(_map, path), data), rows)
        return Image(*channels_before_plane(lazy, axes))

    return read


def _map(path: Path) -> np.ndarray[Any, Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy parses the header with the Python parser, which raises as it likes
        what = "is empty" if path.is_file() and path.stat().st_size == 0 else f"cannot be read: {reason(error)}"
        raise DataError(f"'{path.name}' {what}", "check that the file is complete and holds one array") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"'{path.name}' holds several arrays", "save one array with numpy.save")
    return array
