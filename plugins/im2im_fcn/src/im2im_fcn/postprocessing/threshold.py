"""From an output of a network to a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from im2im_core import DataError
from im2im_fcn.postprocessing.arrays import NumpyArray, channel_of, channels
from im2im_fcn.postprocessing.config import LOCAL_METHODS, ThresholdConfig


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
