"""The `ome-zarr` writer: NGFF 0.4 on zarr format 2, with a pyramid of resolution levels."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import zarr  # type: ignore[import-untyped]

from im2im_core.image import Image
from im2im_io.config import OmeZarrWriterConfig
from im2im_io.ngff import LABELS, image_attributes, label_attributes, label_list
from im2im_io.pyramid import copy_level, level_shapes
from im2im_io.region_file import RegionFile, copy_image
from im2im_io.zarr_folder import ZARR_3


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

        Regions that are whole chunks are written once; others have their chunks read and written again. The coarser
        levels of the pyramid are made when the image is complete.

        Raises:
            OutputError: it cannot be written there.
        """
        described = like.with_data(np.broadcast_to(np.zeros((), dtype), shape))
        labels = np.dtype(dtype).kind == "b" or (self._config.content == "labels" and np.dtype(dtype).kind in "iu")
        shapes = level_shapes(described.axes, shape, self._config.chunk, self._config.levels)
        # Of labels the levels lie in the group that the standard has for them, and the image points there.
        inside = f"labels/{LABELS}/" if labels else ""
        start = functools.partial(self._start, image=described, shapes=shapes, inside=inside, name=path.name)
        finish = functools.partial(_coarsen, axes=described.axes, inside=inside, count=len(shapes), labels=labels)
        return RegionFile(path, start, finish)

    def _chunks(self, axes: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        wanted = {"Y": self._config.chunk, "X": self._config.chunk, "Z": self._config.chunk_z}
        return tuple(min(wanted.get(axis, 1), length) for axis, length in zip(axes, shape, strict=True))

    def _start(self, folder: Path, image: Image, shapes: list[tuple[int, ...]], inside: str, name: str) -> Any:
        """All groups and empty levels; returns the finest."""
        root = _group(folder)
        root.attrs.update(image_attributes(image, name, shapes, inside, averaged=not inside))
        if inside:
            _group(folder / "labels").attrs.update(label_list())
            _group(folder / inside).attrs.update(label_attributes(image, shapes))
        holder = _group(folder / inside, mode="a") if inside else root
        for number, shape in reversed(list(enumerate(shapes))):
            finest = _array(holder, str(number), shape, self._chunks(image.axes, shape), image.dtype)
        return finest


def _coarsen(finest: Any, folder: Path, axes: str, inside: str, count: int, labels: bool) -> None:
    fine = finest
    for number in range(1, count):
        coarse = zarr.open_array(str(folder / inside / str(number)), mode="r+")
        copy_level(fine, coarse, axes, mean=not labels)
        fine = coarse


def _group(folder: Path, mode: str = "w") -> Any:
    return zarr.open_group(str(folder), mode=mode, **({"zarr_format": 2} if ZARR_3 else {}))


def _array(group: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: Any) -> Any:
    settings: dict[str, Any] = {"shape": shape, "chunks": chunks, "dtype": dtype, "fill_value": 0}
    if ZARR_3:
        return group.create_array(name, chunk_key_encoding={"name": "v2", "separator": "/"}, **settings)
    return group.create_dataset(name, dimension_separator="/", **settings)
