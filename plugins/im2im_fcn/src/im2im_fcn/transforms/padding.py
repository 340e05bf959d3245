"""Padding of image, target and cost map alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from im2im_core import ConfigError, Sample
from im2im_fcn.transforms.arrays import NumpyArray, as_given
from im2im_fcn.transforms.config import PadMode, PadToMultipleConfig, PadZConfig

NUMPY_MODES: dict[str, Any] = {"replicate": "edge", "reflect": "reflect", "symmetric": "symmetric", "wrap": "wrap"}


@dataclass(frozen=True, slots=True)
class Pad:
    """Adds to each spatial axis what is missing: half of it before, and the larger half after.

    The image is continued as asked, the target by 0, and the cost map by 0, so that what was added never counts; a
    sample with a target and no cost map is given one.

    Attributes:
        wanted: from the spatial shape to the shape that is wanted.
        pad_value: a number, "mean" of the image, or how it is continued.
    """

    wanted: Callable[[tuple[int, ...]], tuple[int, ...]]
    pad_value: float | PadMode

    def __call__(self, sample: Sample) -> Sample:
        """A new sample of the wanted size; arrays that fit are the same ones."""
        parts = [sample[key] for key in ("image", "target", "costmap") if key in sample]
        shape = tuple(parts[0].shape[1:])
        missing = [wanted - have for have, wanted in zip(shape, self.wanted(shape), strict=True)]
        if not any(missing):
            return sample
        if "target" in sample and "costmap" not in sample:
            ones = np.ones((1, *shape), np.float32)
            sample = {**sample, "costmap": as_given(ones, parts[0])}
        result = dict(sample)
        for key in ("image", "target", "costmap"):
            if key in sample:
                value = self.pad_value if key == "image" else 0
                result[key] = as_given(pad(np.asarray(sample[key]), missing, value), sample[key])
        return result


def pad(array: NumpyArray, missing: list[int], value: float | PadMode) -> NumpyArray:
    """Add `missing` pixels to the spatial axes of an array (C, [Z,] Y, X); the type of its pixels stays."""
    widths = [(0, 0), *((count // 2, count - count // 2) for count in missing)]
    if isinstance(value, str) and value != "mean":
        return np.pad(array, widths, mode=NUMPY_MODES[value])
    number = array.mean(dtype=np.float64) if value == "mean" else value
    return np.pad(array, widths, constant_values=np.asarray(number).astype(array.dtype))


def pad_to_multiple(config: PadToMultipleConfig, spatial_dims: int) -> Pad:
    """The step of `pad-to-multiple`.

    A numeric pad value is a constant (the reference took it for the name of a mode, and failed).

    Raises:
        ConfigError: as many multiples as there are axes, or one, are needed.
    """
    multiple = (config.multiple,) * spatial_dims if isinstance(config.multiple, int) else config.multiple
    if len(multiple) != spatial_dims:
        raise ConfigError(
            f"multiple: '{multiple}' has {len(multiple)} numbers, the data have {spatial_dims} axes",
            "give one number, or one per axis",
        )
    return Pad(partial(next_multiples, multiple=multiple), config.pad_value)


def pad_z(config: PadZConfig, spatial_dims: int) -> Pad:
    """The step of `pad-z`.

    Raises:
        ConfigError: the data have no Z axis.
    """
    if spatial_dims != 3:
        raise ConfigError("'pad-z' pads planes, the data have none", "leave it out, or use pad-to-multiple")
    return Pad(partial(at_least_planes, planes=config.planes), config.pad_value)


# Named functions, since worker processes are handed the step by pickling.
def next_multiples(shape: tuple[int, ...], multiple: tuple[int, ...]) -> tuple[int, ...]:
    """Each axis rounded up."""
    return tuple(-(-length // number) * number for length, number in zip(shape, multiple, strict=True))


def at_least_planes(shape: tuple[int, ...], planes: int) -> tuple[int, ...]:
    """Z, Y, X with Z not below `planes`."""
    return max(shape[0], planes), *shape[1:]
