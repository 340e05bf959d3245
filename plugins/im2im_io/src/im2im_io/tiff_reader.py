"""The `tifffile` reader: axes, pixel size, channel names, and the checks that make damage known at once."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile  # type: ignore[import-untyped]

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_core.interfaces import ReadImage
from im2im_io import tiff_metadata
from im2im_io.axes import channels_before_plane, name_axes
from im2im_io.config import PictureReaderConfig, TiffReaderConfig
from im2im_io.lazy import reason
from im2im_io.picture_reader import is_picture, picture_reader
from im2im_io.tiff_pixels import COMPLETE, all_pages, scene_of, tiff_pixels

# The last is the description, without which axes and sizes would be guessed.
_BROKEN = re.compile("invalid page offset|invalid offset to first page|corrupted|TiffTag 270 .*invalid value offset")


def tiff_reader(config: TiffReaderConfig) -> ReadImage:
    """`read(path) -> Image` for TIFF files, and for pictures that carry a TIFF's name."""

    def read(path: Path) -> Image:
        """Open lazily; holds no file open (a memory-mapped image holds its mapping).

        Raises:
            DataError: not a TIFF, damaged, or with dimensions that are not understood.
        """
        if is_picture(path):
            return picture_reader(PictureReaderConfig(palette="colours"))(path)
        complaints: list[str] = []
        try:
            with _listening(complaints), tifffile.TiffFile(path) as tif:
                series = scene_of(tif, config.scene, path)
                _check_complete(path, tif, series)
                _check_chain(path, complaints)
                axes = name_axes(str(series.axes), tuple(series.shape), path.name, config.axes)
                metadata = _metadata(tif, series)
                data = tiff_pixels(path, tif, series, config.scene)
        except DataError:
            raise
        except Exception as error:  # a damaged header makes the parser fail in any way
            raise DataError(
                f"'{path.name}' is no TIFF or is damaged: {_explain(path, error, complaints)}", COMPLETE
            ) from error
        image = Image(*channels_before_plane(data, axes))
        if set(image.axes) < set(metadata.axes):
            image = image.to_axes(metadata.axes)
        names = tiff_metadata.usable_names(metadata.names, image.sizes.get("C", 1))
        pixel_size = {axis: size for axis, size in metadata.pixel_size.items() if axis in image.axes}
        return replace(image, pixel_size=pixel_size, channel_names=names)

    return read


def _explain(path: Path, error: Exception, complaints: list[str]) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty"
    return complaints[0] if complaints else reason(error)


@contextmanager
def _listening(messages: list[str]) -> Iterator[None]:
    """Note what tifffile logs: it warns of a broken chain of pages and goes on with those before the break."""
    thread = threading.get_ident()

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                messages.append(record.getMessage())

    handler, logger = Collect(logging.WARNING), logging.getLogger("tifffile")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _check_complete(path: Path, tif: tifffile.TiffFile, series: Any) -> None:
    """Compare where pixels should lie with the length of the files, which is cheaper than to find out when training."""
    if series.dataoffset is not None:  # no gaps: the first page says it all, and others may not even exist
        _check_end(path, int(series.dataoffset) + int(series.nbytes), tif.filehandle)
        return
    pages = [page for page in all_pages(tif, series) if page is not None]
    needed = int(series.size) // int(series.keyframe.size)
    if len(pages) < needed:  # tifffile would fill them with zeros
        raise DataError(
            f"{needed - len(pages)} of the {needed} planes that '{path.name}' describes are in none of its files",
            "put all files of the image into one folder, under their original names",
        )
    for page in pages:
        offsets, counts = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
        _check_end(path, int((offsets + counts).max(initial=0)), page.parent.filehandle)


def _check_end(path: Path, end: int, file: Any) -> None:
    if end > file.size:
        raise DataError(
            f"'{path.name}' is cut off: its pixels end at byte {end}, the file at byte {file.size}", COMPLETE
        )


def _check_chain(path: Path, complaints: list[str]) -> None:
    broken = [message for message in complaints if _BROKEN.search(message)]
    if broken:
        raise DataError(f"'{path.name}' is cut off or damaged: {broken[0]}", COMPLETE)


def _metadata(tif: tifffile.TiffFile, series: Any) -> tiff_metadata.Metadata:
    tags = series.keyframe.tags
    if tif.is_ome and tif.ome_metadata:
        index = next(i for i, other in enumerate(tif.series) if other is series)
        return tiff_metadata.from_ome(tif.ome_metadata, index, str(series.name))
    if tif.is_imagej and tif.imagej_metadata:
        return tiff_metadata.from_imagej(tif.imagej_metadata, tags)
    if tif.is_lsm and tif.lsm_metadata:
        return tiff_metadata.from_lsm(tif.lsm_metadata)
    return tiff_metadata.from_resolution(tags)
