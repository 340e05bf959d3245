"""Pixels of a TIFF: memory-mapped where they are contiguous, else decoded strip by strip or tile by tile."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import tifffile  # type: ignore[import-untyped]

from im2im_core.errors import DataError
from im2im_io.lazy import Regions, lazy_array, taller

COMPLETE = "check that the file is complete; copy it again"


def scene_of(tif: tifffile.TiffFile, scene: int | str, path: Path) -> Any:
    """The wanted series of a file.

    Raises:
        DataError: there is none, or not this one.
    """
    if len(tif.pages) == 0 or not tif.series:
        raise DataError(f"'{path.name}' is a TIFF header without any image", COMPLETE)
    names = [str(series.name) for series in tif.series]
    if isinstance(scene, str) and scene in names:
        return tif.series[names.index(scene)]
    if isinstance(scene, int) and 0 <= scene < len(names):
        return tif.series[scene]
    listed = ", ".join(f"{index} '{name}'" for index, name in enumerate(names))
    raise DataError(f"'{path.name}' has no scene '{scene}'", f"its scenes are {listed}")


def all_pages(tif: tifffile.TiffFile, series: Any) -> list[Any]:
    """All pages, read now and remembered by tifffile, so that the file can be closed."""
    tif.pages.cache = True
    return list(series.pages)


def tiff_pixels(path: Path, tif: tifffile.TiffFile, series: Any, scene: int | str) -> Any:
    """A memory map, or a dask array; either may outlive `tif`.

    Args:
        path: the file.
        tif: the same, open; may be closed here.
        series: what to read of it.
        scene: which series that is, for opening it again.
    """
    if series.dataoffset is not None:
        dtype = np.dtype(tif.byteorder + series.dtype.char)
        mapping = _Mapping(path, dtype, int(series.dataoffset), tuple(series.shape))
        # Strangers to numpy cannot take the other byte order, so such pixels are converted as they are read.
        return mapping.open() if dtype.isnative else lazy_array(Regions(path, mapping.same, mapping), mapping.chunks)
    source = _Series(tif, series)
    regions = Regions(path, functools.partial(_open_series, path, scene), source)
    keyframe, chunks = series.keyframe, source.chunks
    if not keyframe.is_tiled and "Y" in series.axes:
        chunks = taller(regions.shape, chunks, series.axes.index("Y"), regions.dtype.itemsize)
    return lazy_array(regions, chunks)


class _Mapping:
    """Contiguous pixels, mapped anew for each access, so that no file stays open."""

    def __init__(self, path: Path, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]) -> None:
        self.path, self.dtype, self.offset, self.shape = path, dtype, offset, shape
        strip = (*(1 for _ in shape[:-2]), 1, *shape[-1:])
        self.chunks = taller(shape, strip, len(shape) - 2, dtype.itemsize)

    def open(self) -> np.ndarray[Any, Any]:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)

    def same(self) -> _Mapping:
        return self

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        region: np.ndarray[Any, Any] = self.open()[key]
        return region


class _Series:
    """tifffile's zarr view of a series, which opens the file for each access and closes it afterwards."""

    def __init__(self, tif: tifffile.TiffFile, series: Any) -> None:
        import zarr  # type: ignore[import-untyped]

        self._store = series.aszarr(level=0)
        tif.close()
        self._array: Any = zarr.open(self._store, mode="r")
        self.shape, self.dtype, self.chunks = self._array.shape, self._array.dtype, self._array.chunks

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._array[key]
        finally:
            self._store.close()


def _open_series(path: Path, scene: int | str) -> _Series:
    """The same view in another process."""
    with tifffile.TiffFile(path) as tif:
        series = scene_of(tif, scene, path)
        all_pages(tif, series)
        return _Series(tif, series)
