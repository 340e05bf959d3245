"""Holes and small regions of class maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from im2im_core import DataError
from im2im_fcn.postprocessing.arrays import NumpyArray, in_pixels, round_up, whole_numbers
from im2im_fcn.postprocessing.config import FillHolesConfig, RemoveSmallConfig, Sizes


@dataclass(frozen=True, slots=True)
class RemoveSmall:
    """Sets regions of one class up to a size to 0; pixels of a region share a side.

    Attributes:
        sizes: pixels, one for all classes or one per class.
        spatial_dims: 2 or 3; a plane image is one plane, not a stack of rows as in the reference.
    """

    sizes: Sizes
    spatial_dims: int

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Class map ([Z,] Y, X) to a new one of its type.

        Raises:
            DataError: no class map, or fewer sizes than classes.
        """
        given = whole_numbers(array, self.spatial_dims)
        structure = ndimage.generate_binary_structure(given.ndim, 1)
        result = given.copy()
        for number in class_numbers(given):
            result[small_regions(given == number, size_of(number, self.sizes), structure)] = 0
        return result


@dataclass(frozen=True, slots=True)
class FillHoles:
    """Fills holes in a class up to a size, one class after the other; pixels of a hole share a side.

    Whatever is not of the class counts as hole; only background is filled unless `overwrite_classes` (the reference
    always overwrote a higher class that a lower one encloses). A small bay at the border of the image is a hole, too.

    Attributes:
        sizes: pixels, one for all classes or one per class.
        spatial_dims: 2 or 3.
        by_plane: holes of each plane by itself.
        overwrite_classes: fill other classes, too.
    """

    sizes: Sizes
    spatial_dims: int
    by_plane: bool
    overwrite_classes: bool

    def __call__(self, array: NumpyArray) -> NumpyArray:
        """Class map ([Z,] Y, X) to a new one of its type.

        Raises:
            DataError: no class map, or fewer sizes than classes.
        """
        result = whole_numbers(array, self.spatial_dims).copy()
        structure = ndimage.generate_binary_structure(result.ndim, 1)
        if self.by_plane and result.ndim == 3:
            structure[[0, 2]] = False
        for number in class_numbers(result):
            holes = small_regions(result != number, size_of(number, self.sizes), structure)
            result[holes if self.overwrite_classes else holes & (result == 0)] = number
        return result


def small_regions(mask: NumpyArray, size: int, structure: NumpyArray) -> NumpyArray:
    """Where connected regions of at most `size` pixels are."""
    labels, _ = ndimage.label(mask, structure)
    small = np.bincount(labels.ravel()) <= size
    small[0] = False
    found: NumpyArray = small[labels]
    return found


def class_numbers(classes: NumpyArray) -> list[int]:
    """The classes of a map but 0, rising."""
    return [int(number) for number in np.unique(classes) if number > 0]


def value_of(number: int, sizes: Sizes) -> float:
    """The size that was given for a class.

    Raises:
        DataError: none was.
    """
    if isinstance(sizes, float):
        return sizes
    if number > len(sizes):
        raise DataError(
            f"the class map holds class '{number}', but size has {len(sizes)} numbers", "give one number for all"
        )
    return sizes[number - 1]


def size_of(number: int, sizes: Sizes) -> int:
    """The size of a class in whole pixels, rounded up."""
    return round_up(value_of(number, sizes))


def each(sizes: Sizes, factor: float) -> Sizes:
    """All sizes times a factor."""
    return sizes * factor if isinstance(sizes, float) else tuple(size * factor for size in sizes)


def fill_holes(config: FillHolesConfig, spatial_dims: int, pixel_size: Mapping[str, float]) -> FillHoles:
    """The step of `fill-holes`.

    Raises:
        DataError: the pixel size is needed and not known.
    """
    axes = "YX" if config.by_plane else "ZYX"[-spatial_dims:]
    sizes = each(config.size, in_pixels(1.0, config.unit, pixel_size, axes))
    return FillHoles(sizes, spatial_dims, config.by_plane, config.overwrite_classes)


def remove_small(config: RemoveSmallConfig, spatial_dims: int, pixel_size: Mapping[str, float]) -> RemoveSmall:
    """The step of `remove-small`.

    Raises:
        DataError: the pixel size is needed and not known.
    """
    factor = in_pixels(1.0, config.unit, pixel_size, "ZYX"[-spatial_dims:])
    return RemoveSmall(each(config.size, factor), spatial_dims)
