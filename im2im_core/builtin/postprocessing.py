"""Post-processing that ships with the core: what every model of classes needs. Loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2im_core.components import ComponentConfig, Postprocessor
from im2im_core.errors import DataError
from im2im_core.interfaces import NumpyArray, PostprocessArray

MOST_CLASSES = 256


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
        if array.ndim == self.spatial_dims:
            array = array[None]
        if array.ndim != self.spatial_dims + 1:
            raise DataError(
                f"a prediction of {self.spatial_dims} spatial axes is needed, not one of shape '{array.shape}'"
            )
        if len(array) > MOST_CLASSES:
            raise DataError(f"'{len(array)}' classes do not fit a class map of at most {MOST_CLASSES}")
        classes: NumpyArray = array[0] > 0 if len(array) == 1 else array.argmax(axis=0)
        return classes.astype(np.uint8)


def _class_map(config: ComponentConfig, *, spatial_dims: int) -> PostprocessArray:
    return ClassMap(spatial_dims)


POSTPROCESSORS: tuple[Postprocessor, ...] = (
    Postprocessor(
        name="class-map",
        summary="the likeliest class of each pixel; of one output: above 0",
        factory=_class_map,
        tasks=("semantic-segmentation", "instance-segmentation"),
    ),
)
