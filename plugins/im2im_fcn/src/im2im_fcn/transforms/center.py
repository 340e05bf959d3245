"""Normalisation by the planes around the one in focus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2im_core import DataError, Image, Sample
from im2im_core.scaling import Scaling
from im2im_fcn.transforms.arrays import NumpyArray, channels_first, finite
from im2im_fcn.transforms.config import NormalizeCenterConfig

MOST_PIXELS = 16_000_000


@dataclass(frozen=True, slots=True)
class NormalizeCenter:
    """Mean and population deviation of a window of planes around the central one (Ounkomol et al. 2018).

    The window begins half its length before the centre and is moved inwards at the ends of the stack; where it is
    longer than the stack the whole stack is taken (the reference then began at a negative index). Plane images are
    normalised by all their pixels.

    Attributes:
        config: settings.
        spatial_dims: 2 or 3.
    """

    config: NormalizeCenterConfig
    spatial_dims: int

    def __call__(self, sample: Sample) -> Sample:
        """A new sample with the image normalised by its own statistics; without an image the sample as it is.

        Raises:
            DataError: too few planes, no pixels, NaN or infinite values.
        """
        if "image" not in sample:
            return sample
        return self.fit(np.asarray(sample["image"]))(sample)

    def fit(self, image: Image | NumpyArray) -> Scaling:
        """The step with the statistics of this image; decodes only the planes of the window.

        Of more than sixteen million pixels a regular sub-sample in Y and X is looked at.

        Raises:
            DataError: too few planes, no pixels, NaN or infinite values.
        """
        data = channels_first(image, self.spatial_dims)
        if self.spatial_dims == 3:
            start, stop = self._planes(data.shape[1])
            data = data[:, start:stop]
        stride = max(1, int(np.ceil(np.sqrt(float(np.prod([float(n) for n in data.shape[1:]])) / MOST_PIXELS))))
        pixels = finite(np.asarray(data[(..., slice(None, None, stride), slice(None, None, stride))]))
        pixels = pixels.reshape(pixels.shape[0] if self.config.per_channel else 1, -1)
        constant = pixels.max(axis=1) == pixels.min(axis=1)
        deviation = pixels.std(axis=1, dtype=np.float64)
        factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=~constant)
        return Scaling(pixels.mean(axis=1, dtype=np.float64), factor)

    def _planes(self, count: int) -> tuple[int, int]:
        if count < self.config.min_z:
            raise DataError(
                f"the stack has '{count}' planes, fewer than min_z '{self.config.min_z}'",
                "lower min_z, or take the image out of the data set",
            )
        center = count // 2 if self.config.center is None else self.config.center
        start = max(0, min(center - self.config.window // 2, count - self.config.window))
        return start, start + self.config.window
