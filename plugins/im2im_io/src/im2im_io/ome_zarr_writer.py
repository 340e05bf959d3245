"""The `ome-zarr` writer: NGFF 0.4 on zarr format 2, one resolution level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr  # type: ignore[import-untyped]

from im2im_core.image import Image
from im2im_io.config import OmeZarrWriterConfig
from im2im_io.region_file import RegionFile, copy_image
from im2im_io.zarr_folder import ZARR_3

_KINDS = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_COLOURS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


class OmeZarrWriter:
    """Writes OME-Zarr folders."""

    def __init__(self, config: OmeZarrWriterConfig) -> None:
        self._config = config

    def write(self, path: Path, image: Image) -> None:
        """Write a whole image, one row of chunks after the other.

        Raises:
            OutputError: it cannot be written there.
        """
        chunks = self._chunks(image.axes, image.shape)
        rows = tuple(image.sizes["X"] if a == "X" else c for a, c in zip(image.axes, chunks, strict=True))
        with self.create(path, image, image.shape, image.dtype) as target:
            copy_image(image, target, rows)

    def create(self, path: Path, like: Image, shape: tuple[int, ...], dtype: Any) -> RegionFile:
        """Start an image of `shape` in the axes of `like`, with its pixel size and channel names.

        Regions that are whole chunks are written once; others have their chunks read and written again.

        Raises:
            OutputError: it cannot be written there.
        """
        described = like.with_data(np.broadcast_to(np.zeros((), dtype), shape))
        chunks = self._chunks(like.axes, shape)
        return RegionFile(path, lambda beside: _open_array(beside, described, chunks, path.name))

    def _chunks(self, axes: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        wanted = {"Y": self._config.chunk, "X": self._config.chunk, "Z": self._config.chunk_z}
        return tuple(min(wanted.get(axis, 1), length) for axis, length in zip(axes, shape, strict=True))


def _open_array(folder: Path, image: Image, chunks: tuple[int, ...], name: str) -> Any:
    settings: dict[str, Any] = {"shape": image.shape, "chunks": chunks, "dtype": image.dtype, "fill_value": 0}
    attributes = ngff_attributes(image, name)
    if ZARR_3:
        group: Any = zarr.open_group(str(folder), mode="w", zarr_format=2)
        group.attrs.update(attributes)
        return group.create_array("0", chunk_key_encoding={"name": "v2", "separator": "/"}, **settings)
    group = zarr.open_group(str(folder), mode="w")
    group.attrs.update(attributes)
    return group.create_dataset("0", dimension_separator="/", **settings)


def ngff_attributes(image: Image, name: str) -> dict[str, Any]:
    """The `multiscales` and `omero` blocks of NGFF 0.4.

    Args:
        image: axes, pixel size in micrometre and channel names.
        name: of the image.
    """
    axes = [
        {"name": axis.lower(), "type": _KINDS[axis], **({"unit": "micrometer"} if axis in image.pixel_size else {})}
        for axis in image.axes
    ]
    scale = [float(image.pixel_size.get(axis, 1.0)) for axis in image.axes]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    # Other software expects the block, names or not.
    omero = {"id": 1, "name": name, "version": "0.4", "channels": _channels(image)}
    return {"multiscales": [{"version": "0.4", "name": name, "axes": axes, "datasets": datasets}], "omero": omero}


def _channels(image: Image) -> list[dict[str, Any]]:
    integer = image.dtype.kind in "ui"
    low, high = (0.0, float(np.iinfo(image.dtype).max)) if integer else (0.0, 1.0)
    window = {"min": low, "max": high, "start": low, "end": high}
    count = image.sizes.get("C", 1)
    names = [{"label": name} for name in image.channel_names] or [{}] * count
    return [
        {**names[i], "color": _COLOURS[i % len(_COLOURS)], "active": True, "window": dict(window)} for i in range(count)
    ]
