"""Thick regions of a class map made thinner by one layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.morphology import medial_axis

from im2im_fcn.postprocessing.arrays import NumpyArray, lengths, round_up, whole_numbers
from im2im_fcn.postprocessing.cleanup import class_numbers, each, value_of
from im2im_fcn.postprocessing.config import Sizes, ThicknessConfig


@dataclass(frozen=True, slots=True)
class Thickness:
    """Removes the outermost pixels of a class that lie far from the medial axis of their plane.

    Distance and layer are both those of the plane, unless `erode_in_volume` (the reference measured in the plane and
    eroded in the volume, so that the first and last plane of a thick object were lost but for their middle). The seed
    makes the medial axis the same each time (the reference broke ties at random).

    Attributes:
        sizes: distance in pixels, one for all classes or one per class.
        spatial_dims: 2 or 3.
        erode_in_volume: the layer is that of the volume.
        seed: decides between equally good pixels of the axis.
    """

    sizes: Sizes
    spatial_dims: int
    erode_in_volume: bool
    seed: int

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Class map ([Z,] Y, X) to a new one of its type.

        Raises:
            DataError: no class map, or fewer sizes than classes.
        """
        given = whole_numbers(array, self.spatial_dims)
        result = given.copy()
        for number in class_numbers(given):
            mask = given == number
            far = self._far_from_axis(mask, round_up(value_of(number, self.sizes)))
            result[self._layer(mask) & far] = 0
        return result

    def _layer(self, mask: NumpyArray) -> NumpyArray:
        structure = ndimage.generate_binary_structure(mask.ndim, 1)
        if mask.ndim == 3 and not self.erode_in_volume:
            structure[[0, 2]] = False
        # An object goes on beyond the border of the image, for all that is known.
        layer: NumpyArray = mask & ~ndimage.binary_erosion(mask, structure, border_value=1)
        return layer

    def _far_from_axis(self, mask: NumpyArray, distance: int) -> NumpyArray:
        far = np.zeros(mask.shape, bool)
        planes = zip(far, mask, strict=True) if mask.ndim == 3 else [(far, mask)]
        for target, plane in planes:
            if plane.any():
                axis = medial_axis(plane, rng=self.seed)
                target[:] = ndimage.distance_transform_edt(~axis) > distance + 1e-5
        return far


def thickness(config: ThicknessConfig, spatial_dims: int, pixel_size: Mapping[str, float]) -> Thickness:
    """The step of `thickness`.

    Raises:
        DataError: the pixel size is needed and not known.
    """
    micrometre = float(np.mean(lengths(pixel_size, "YX"))) if config.unit == "micrometre" else 1.0
    return Thickness(each(config.size, 1 / micrometre), spatial_dims, config.erode_in_volume, config.seed)
