"""Pixel types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2im_core import DataError
from im2im_fcn.postprocessing.arrays import NumpyArray
from im2im_fcn.postprocessing.config import CastConfig


@dataclass(frozen=True, slots=True)
class Cast:
    """Changes the pixel type. For whole numbers values are rounded, and cut off at the limits of the type."""

    config: CastConfig

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """An array of any shape to a new one of the type.

        Raises:
            DataError: NaN has no whole number.
        """
        dtype = np.dtype(self.config.dtype)
        if dtype.kind == "f" or array.dtype.kind == "b":
            return array.astype(dtype)
        if array.dtype.kind == "f":
            if np.isnan(array).any():
                raise DataError(f"the result holds NaN, which '{dtype}' cannot", "set dtype: float32")
            # In float32 the largest int32 is rounded up, out of its own range.
            array = array.astype(np.float64).round()
        limits = np.iinfo(dtype)
        # Numpy refuses limits that the array's own type cannot hold.
        own = np.iinfo(array.dtype) if array.dtype.kind in "iu" else limits
        return array.clip(max(limits.min, own.min), min(limits.max, own.max)).astype(dtype)
