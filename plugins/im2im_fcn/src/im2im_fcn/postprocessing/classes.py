"""From the outputs of a network to a class map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from im2im_core import DataError
from im2im_fcn.postprocessing.arrays import NumpyArray, channel_of, channels
from im2im_fcn.postprocessing.config import LOCAL_METHODS, ThresholdConfig


@dataclass(frozen=True, slots=True)
class ClassMap:
    """The likeliest class of each pixel.

    The first axis is always that of the channels, so a volume of one channel is never taken for a batch (the reference
    did).
    """

    spatial_dims: int

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Logits (K, [Z,] Y, X) to classes ([Z,] Y, X), uint8; one channel: 1 where it is above 0.

        Raises:
            DataError: more than 256 classes, or other axes.
        """
        array = channels(array, self.spatial_dims)
        if len(array) > 256:
            raise DataError(f"'{len(array)}' classes do not fit a class map of at most 256")
        classes: NumpyArray = array[0] > 0 if len(array) == 1 else array.argmax(axis=0)
        return classes.astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One channel above a cutoff. The foreground is 1 unless said otherwise (the reference: 255)."""

    config: ThresholdConfig
    spatial_dims: int

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Outputs (K, [Z,] Y, X) to a mask ([Z,] Y, X), uint8, or to the channel itself where there is no cutoff.

        Raises:
            DataError: no such channel, or the method finds no threshold.
        """
        values = channel_of(channels(array, self.spatial_dims), self.config.channel, self.config.activation)
        cutoff = self.config.cutoff
        if cutoff is None:
            return values.copy()
        limit: Any = self._found(values, cutoff) if isinstance(cutoff, str) else cutoff
        return np.where(values > limit, self.config.foreground_value, 0).astype(np.uint8)

    def _found(self, values: NumpyArray, method: str) -> Any:
        from skimage import filters

        find = getattr(filters, f"threshold_{method}")
        if method in LOCAL_METHODS:
            window = self.config.window
            return find(values, window) if method == "local" else find(values, window_size=window)
        try:
            return find(values)
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"'{method}' finds no threshold: {error}", "give cutoff as a number, or try another method"
            ) from error
