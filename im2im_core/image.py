"""`Image`: an array that need not be in memory yet, and what its axes mean. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from im2im_core.errors import DataError

AXES = "TCZYX"
SPATIAL_AXES = "ZYX"


class Array(Protocol):
    """What numpy, dask and zarr arrays have in common, as far as im2im uses it."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102
    def __getitem__(self, key: Any, /) -> Any: ...
    def __array__(self, dtype: Any = None, /) -> np.ndarray[Any, Any]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A microscopy image, lazy wherever its reader could make it so.

    Attributes:
        data: numpy, or a dask array of which only the regions that are asked for are decoded. Of any other sliceable
            array the same is true until its axes are put in order: then it is decoded whole.
        axes: one letter per dimension of `data`, from T, C, Z, Y, X, each at most once. RGB is a C axis.
        pixel_size: micrometre per pixel for those spatial axes where it is known.
        channel_names: one name per channel, or empty when unknown.
    """

    data: Array
    axes: str
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.axes) != len(self.data.shape):
            raise DataError(f"axes '{self.axes}' do not fit an array of shape {tuple(self.data.shape)}")
        if len(set(self.axes)) != len(self.axes) or set(self.axes) - set(AXES):
            raise DataError(f"axes '{self.axes}' are not a selection of '{AXES}'", "name each axis once")
        object.__setattr__(self, "pixel_size", dict(self.pixel_size))
        object.__setattr__(self, "channel_names", tuple(self.channel_names))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, in the order of `axes`."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        return np.dtype(self.data.dtype)

    @property
    def sizes(self) -> dict[str, int]:
        """Length per axis letter."""
        return dict(zip(self.axes, self.shape, strict=True))

    @property
    def spatial_dims(self) -> int:
        """3 when there is more than one Z plane, else 2."""
        return 3 if self.sizes.get("Z", 1) > 1 else 2

    def to_axes(self, axes: str) -> Image:
        """The same pixels with other axes, still lazy: reordered, singletons added or dropped.

        Args:
            axes: the wanted axes, for instance "CYX".

        Raises:
            DataError: an axis longer than 1 would be lost.
        """
        data: Any = self.data
        lost = [letter for letter in self.axes if letter not in axes and self.sizes[letter] > 1]
        if lost:
            sizes = ", ".join(f"{letter}={self.sizes[letter]}" for letter in lost)
            raise DataError(
                f"an image with axes '{self.axes}' cannot be used as '{axes}': {sizes} would be lost",
                "select one plane, channel or time point first, or use a model of the other dimensionality",
            )
        data = data[tuple(slice(None) if letter in axes else 0 for letter in self.axes)]
        kept = [letter for letter in self.axes if letter in axes]
        present = [letter for letter in axes if letter in kept]
        data = data.transpose([kept.index(letter) for letter in present])
        data = data[tuple(slice(None) if letter in kept else None for letter in axes)]
        return replace(self, data=data, axes=axes)

    def channels_first(self, spatial_dims: int) -> Image:
        """Axes CYX (2D) or CZYX (3D). A time axis becomes an error unless it has length 1."""
        return self.to_axes("CYX" if spatial_dims == 2 else "CZYX")

    def compute(self) -> np.ndarray[Any, Any]:
        """All pixels as a numpy array; decodes the whole image."""
        return np.asarray(self.data)

    def with_data(self, data: Array, axes: str | None = None) -> Image:
        """A result computed from this image: other pixels, same pixel size; channel names kept where they still fit."""
        axes = axes or self.axes
        channels = data.shape[axes.index("C")] if "C" in axes else 1
        names = self.channel_names if len(self.channel_names) == channels else ()
        pixel_size = {axis: size for axis, size in self.pixel_size.items() if axis in axes}
        return Image(data, axes, pixel_size, names)


def to_pixel_type(array: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    """An array as another pixel type; for whole numbers values are rounded, and cut off at the limits of the type.

    Raises:
        DataError: NaN has no whole number.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu" or array.dtype.kind == "b":
        return array.astype(dtype)
    if array.dtype.kind == "f":
        if np.isnan(array).any():
            raise DataError(f"the result holds NaN, which pixels of type '{dtype}' cannot", "write it as float32")
        # In float32 the largest int32 is rounded up, out of its own range.
        array = array.astype(np.float64).round()
    limits = np.iinfo(dtype)
    # Numpy refuses limits that the array's own type cannot hold.
    own = np.iinfo(array.dtype) if array.dtype.kind in "iu" else limits
    return array.clip(max(limits.min, own.min), min(limits.max, own.max)).astype(dtype)
