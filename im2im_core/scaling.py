"""Intensities scaled by known numbers: what a normalization makes of a whole image, for all windows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from im2im_core.interfaces import NumpyArray, Sample


@dataclass(frozen=True, slots=True)
class Scaling:
    """`(x - offset) * factor`, with numbers that are known already: what a normalization's `fit` makes of an image.

    Attributes:
        offset: per channel (or one for all).
        factor: per channel (or one for all); 0 where the image is constant.
        key: the part of a sample that it changes; others stay as they are.
        clip: cut off below 0 and above 1.
    """

    offset: NumpyArray
    factor: NumpyArray
    key: str = "image"
    clip: bool = False

    def __call__(self, sample: Sample) -> Sample:
        """A new sample dict in which the part is scaled, as float32; numpy and torch alike."""
        return {**sample, self.key: self.apply(sample[self.key])} if self.key in sample else sample

    def apply(self, array: Any) -> Any:
        """Scale an array (C, [Z,] Y, X)."""
        shape = (-1, *(1 for _ in array.shape[1:]))
        offset, factor = self.offset.astype(np.float32).reshape(shape), self.factor.astype(np.float32).reshape(shape)
        if isinstance(array, np.ndarray):
            result = (array.astype(np.float32) - offset) * factor
            return result.clip(0, 1) if self.clip else result
        result = (array.float() - array.new_tensor(offset, dtype=None).float()) * array.new_tensor(factor).float()
        return result.clip(0, 1) if self.clip else result
