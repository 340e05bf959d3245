"""The `ome-tiff` writer: pixel size, channel names, tiles and BigTIFF where the size asks for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile  # type: ignore[import-untyped]

from im2im_core.errors import OutputError
from im2im_core.files import write_beside
from im2im_core.image import Image
from im2im_io.config import OmeTiffWriterConfig
from im2im_io.region_file import RegionFile, reserve
from im2im_io.tiff_metadata import AXES_NOTE

CLASSIC_LIMIT = 2**32 - 2**25
"""Bytes of pixels from which on the offsets of a classic TIFF may not suffice."""
_OME_TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")


class OmeTiffWriter:
    """Writes OME-TIFF, also under the plain names `.tif` and `.tiff`."""

    def __init__(self, config: OmeTiffWriterConfig) -> None:
        self._config = config

    def write(self, path: Path, image: Image) -> None:
        """Write a whole image, plane by plane or, if it is large, row of tiles by row of tiles.

        Three channels of type uint8 without names are written as RGB.

        Raises:
            OutputError: the pixel type has no place in OME-TIFF, or it cannot be written there.
        """
        image = _planes_last(path, image)
        rgb = _is_rgb(image)
        tile = self._config.tile if max(image.shape[-2:]) >= self._config.tile_from else None
        shape = (*image.shape[:-3], *image.shape[-2:], 3) if rgb else image.shape
        with write_beside(path) as beside:
            tifffile.imwrite(
                beside,
                _pieces(image, rgb, tile),
                shape=shape,
                dtype=_stored_dtype(path, image.dtype),
                tile=None if tile is None else (tile, tile),
                compression=None if self._config.compression == "none" else self._config.compression,
                photometric="rgb" if rgb else "minisblack",
                **_description(image, rgb),
            )

    def create(self, path: Path, like: Image, shape: tuple[int, ...], dtype: Any) -> RegionFile:
        """Start an uncompressed file of `shape` in the axes of `like`, with its pixel size and channel names.

        Raises:
            OutputError: the pixel type has no place in OME-TIFF, or the disk cannot hold the file.
        """
        stored = _stored_dtype(path, np.dtype(dtype))
        described = _planes_last(path, like.with_data(np.broadcast_to(np.zeros((), stored), shape)))
        back = [described.axes.index(axis) for axis in like.axes]

        def open_target(beside: Path) -> Any:
            array = tifffile.memmap(
                beside, shape=described.shape, dtype=stored, photometric="minisblack", **_description(described, False)
            )
            reserve(beside)
            return array.transpose(back)

        return RegionFile(path, open_target, lambda array, beside: array.flush())


def _planes_last(path: Path, image: Image) -> Image:
    """The image with Y and X at the end, where TIFF has them."""
    if not {"Y", "X"} <= set(image.axes):
        raise OutputError(f"'{path}': a TIFF needs the axes Y and X, not '{image.axes}'")
    return image.to_axes("".join(axis for axis in image.axes if axis not in "YX") + "YX")


def _is_rgb(image: Image) -> bool:
    return image.axes[-3:] == "CYX" and image.shape[-3] == 3 and image.dtype == np.uint8 and not image.channel_names


def _stored_dtype(path: Path, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "b":
        return np.dtype("uint8")
    if dtype.name not in _OME_TYPES:
        raise OutputError(
            f"'{path}': OME-TIFF cannot hold pixels of type '{dtype.name}'",
            f"convert to one of {', '.join(_OME_TYPES)}",
        )
    return dtype.newbyteorder("=")


def _description(image: Image, rgb: bool) -> dict[str, Any]:
    """The arguments for tifffile that carry the metadata."""
    metadata: dict[str, Any] = {"axes": image.axes.replace("CYX", "YXS") if rgb else image.axes}
    for axis, size in image.pixel_size.items():
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    if image.channel_names:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    if 1 in image.shape:
        metadata["Description"] = AXES_NOTE + image.axes  # OME-XML cannot tell them from missing axes
    arguments: dict[str, Any] = {"ome": True, "metadata": metadata}
    if {"Y", "X"} <= set(image.pixel_size):
        # For software that knows nothing of OME: pixels per centimetre.
        arguments["resolution"] = (1e4 / image.pixel_size["X"], 1e4 / image.pixel_size["Y"])
        arguments["resolutionunit"] = "CENTIMETER"
    bytes_needed = math.prod(image.shape) * max(1, image.dtype.itemsize)
    arguments["bigtiff"] = bytes_needed > CLASSIC_LIMIT
    return arguments


def _pieces(image: Image, rgb: bool, tile: int | None) -> Iterator[np.ndarray[Any, Any]]:
    """Planes, or the tiles of each plane, in the order in which the file has them."""
    outer = image.shape[: -3 if rgb else -2]
    height, width = image.shape[-2:]
    dtype = np.dtype("uint8") if image.dtype.kind == "b" else image.dtype.newbyteorder("=")
    for index in np.ndindex(*outer):
        for top in range(0, height, tile or height):
            band = np.asarray(image.data[(*index, ..., slice(top, top + (tile or height)), slice(None))])
            band = np.ascontiguousarray(band.transpose(1, 2, 0) if rgb else band, dtype)
            for left in range(0, width, tile or width):
                yield np.ascontiguousarray(band[:, left : left + (tile or width)])
