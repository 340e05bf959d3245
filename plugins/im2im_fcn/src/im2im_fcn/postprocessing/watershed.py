"""Touching objects separated by a watershed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from im2im_fcn.postprocessing.arrays import NumpyArray, channel_of, channels, lengths, whole_numbers
from im2im_fcn.postprocessing.config import SeededWatershedConfig


@dataclass(frozen=True, slots=True)
class SeededWatershed:
    """Floods the foreground from seeds, over distance to the background or over probability (Meyer 1994).

    Each connected region of the foreground is given at least one seed, so that no object is lost.

    Attributes:
        config: settings.
        spatial_dims: 2 or 3.
        spacing: length of a pixel along [Z], Y, X, in the unit of the size.
    """

    config: SeededWatershedConfig
    spatial_dims: int
    spacing: tuple[float, ...]

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Outputs (K, [Z,] Y, X) or a class map ([Z,] Y, X) to labels from 1, int32.

        Raises:
            DataError: no such channel, or other axes.
        """
        if array.dtype.kind in "iub":
            mask = whole_numbers(array, self.spatial_dims) > 0
            seed_values = mask.astype(np.float32)
        else:
            outputs, config = channels(array, self.spatial_dims), self.config
            mask = channel_of(outputs, config.channel, config.activation) > config.cutoff
            seed_channel = config.channel if config.seed_channel is None else config.seed_channel
            seed_values = channel_of(outputs, seed_channel, config.activation)
        if not mask.any():
            return np.zeros(mask.shape, np.int32)
        if self.config.seeds == "distance":
            height = self._distance(mask)
            peaks = self._peaks(height, mask)
        else:
            height = seed_values
            peaks = mask & (seed_values > self.config.seed_cutoff)
        labels: NumpyArray = watershed(-height, self._seeds(peaks, mask, height), mask=mask)
        return labels.astype(np.int32)

    def _distance(self, mask: NumpyArray) -> NumpyArray:
        # What lies beyond the border is unknown; a frame of background keeps an image that is all foreground finite.
        padded = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=self.spacing)
        distance: NumpyArray = padded[(slice(1, -1),) * mask.ndim]
        return ndimage.gaussian_filter(distance, self.config.smoothing) if self.config.smoothing else distance

    def _peaks(self, height: NumpyArray, mask: NumpyArray) -> NumpyArray:
        """Highest pixels of the box that reaches `size` along each axis; a ball would take minutes in large volumes."""
        widths = [2 * max(1, int(self.config.size / length + 1e-6)) + 1 for length in self.spacing]
        peaks: NumpyArray = mask & (height == ndimage.maximum_filter(height, size=widths))
        return peaks

    def _seeds(self, peaks: NumpyArray, mask: NumpyArray, height: NumpyArray) -> NumpyArray:
        full = ndimage.generate_binary_structure(mask.ndim, mask.ndim)
        seeds, count = ndimage.label(peaks, full)
        regions, number = ndimage.label(mask)
        seeded = np.zeros(number + 1, bool)
        seeded[regions[peaks]] = True
        bare = [region for region in range(1, number + 1) if not seeded[region]]
        if bare:
            for place in ndimage.maximum_position(height, regions, bare):
                count += 1
                seeds[tuple(int(i) for i in place)] = count
        found: NumpyArray = seeds
        return found


def seeded_watershed(
    config: SeededWatershedConfig, spatial_dims: int, pixel_size: Mapping[str, float]
) -> SeededWatershed:
    """The step of `seeded-watershed`.

    Raises:
        DataError: the pixel size is needed and not known.
    """
    axes = "ZYX"[-spatial_dims:]
    spacing = lengths(pixel_size, axes) if config.unit == "micrometre" else [1.0] * spatial_dims
    return SeededWatershed(config, spatial_dims, tuple(spacing))
