"""Pixel types."""

from __future__ import annotations

from dataclasses import dataclass

from im2im_core import to_pixel_type
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
        return to_pixel_type(array, self.config.dtype)
