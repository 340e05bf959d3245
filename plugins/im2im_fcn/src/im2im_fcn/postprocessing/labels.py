"""Labels: made of class maps, pruned and opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from im2im_fcn.postprocessing.arrays import NumpyArray, in_pixels, whole_numbers
from im2im_fcn.postprocessing.config import ConnectedComponentsConfig, PruneLabelsConfig


@dataclass(frozen=True, slots=True)
class ConnectedComponents:
    """Labels the connected regions of equal class. Regions of different classes never share a label."""

    config: ConnectedComponentsConfig
    spatial_dims: int

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Class map ([Z,] Y, X) to labels from 1, int32.

        Raises:
            DataError: no class map.
        """
        from skimage.measure import label

        classes = whole_numbers(array, self.spatial_dims)
        if self.config.classes:
            classes = np.where(np.isin(classes, self.config.classes), classes, 0)
        connectivity = 1 if self.config.connectivity == "face" else classes.ndim
        labels: NumpyArray = label(classes.astype(np.int64), background=0, connectivity=connectivity)
        return labels.astype(np.int32)


@dataclass(frozen=True, slots=True)
class PruneLabels:
    """Removes labels of fewer pixels than `size`; the others are numbered from 1 in their order.

    The caller's array stays as it is (the reference changed it in place).
    """

    size: float
    spatial_dims: int

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Labels ([Z,] Y, X) to new ones of their type.

        Raises:
            DataError: no labels.
        """
        labels = whole_numbers(array, self.spatial_dims)
        numbers, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
        # Pixels that came out of µm³ are rounding error off a whole number.
        kept = (numbers > 0) & (counts >= self.size - 1e-6)
        fresh = np.where(kept, np.cumsum(kept), 0).astype(labels.dtype)
        pruned: NumpyArray = fresh[inverse].reshape(labels.shape)
        return pruned


@dataclass(frozen=True, slots=True)
class OpenLabels:
    """Opens each object with the unit cross: isolated pixels and thin bridges vanish; labels are numbered anew.

    Beyond the border of the image an object goes on. The caller's array stays as it is (the reference changed it).
    """

    spatial_dims: int

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Labels ([Z,] Y, X) to new ones of their type.

        Raises:
            DataError: no labels.
        """
        labels = whole_numbers(array, self.spatial_dims)
        cross = ndimage.generate_binary_structure(labels.ndim, 1)
        lowest = ndimage.minimum_filter(labels, footprint=cross, mode="nearest")
        highest = ndimage.maximum_filter(labels, footprint=cross, mode="nearest")
        eroded = np.where(lowest == highest, labels, 0).astype(labels.dtype)
        # All objects at once: a neighbour of an eroded pixel belongs to the same object, so no two of them meet.
        opened = ndimage.maximum_filter(eroded, footprint=cross, mode="nearest")
        return PruneLabels(0, self.spatial_dims)(opened)


def prune_labels(config: PruneLabelsConfig, spatial_dims: int, pixel_size: Mapping[str, float]) -> PruneLabels:
    """The step of `prune-labels`.

    Raises:
        DataError: the pixel size is needed and not known.
    """
    return PruneLabels(in_pixels(config.size, config.unit, pixel_size, "ZYX"[-spatial_dims:]), spatial_dims)
