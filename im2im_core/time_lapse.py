"""A time-lapse in, a time-lapse out: one time point after the other, joined when all are there."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from im2im_core.blocks import cut_blocks
from im2im_core.image import Image
from im2im_core.interfaces import ImageWriter
from im2im_core.object_table import write_objects
from im2im_core.results import started
from im2im_core.selection import time_points

if TYPE_CHECKING:
    from im2im_core.prediction import Predictor
    from im2im_core.result_files import ResultFiles

# Pixels along each axis that are copied at a time.
COPIED = 2048


class FrameWriter:
    """Keeps the results of a time point on disk until all of them are joined."""

    def __init__(self) -> None:
        self.likes: dict[Path, Image] = {}

    def write(self, path: Path, image: Image) -> None:
        """Keep a whole image."""
        frame = self.create(path, image, image.shape, image.dtype)
        frame.write_region((0,) * len(image.shape), image.compute())
        frame.close()

    def create(self, path: Path, like: Image, shape: tuple[int, ...], dtype: Any) -> _Frame:
        """Start an image of the axes of `like`."""
        self.likes[path] = like
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Frame(np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape))

    def open(self, path: Path) -> Image:
        """What was kept under a name."""
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        like = self.likes[path]
        return Image(pixels, like.axes, like.pixel_size, like.channel_names)


class _Frame:
    def __init__(self, pixels: Any) -> None:
        self._pixels = pixels

    def write_region(self, start: tuple[int, ...], data: np.ndarray[Any, Any]) -> None:
        self._pixels[tuple(slice(first, first + n) for first, n in zip(start, data.shape, strict=True))] = data

    def close(self) -> None:
        self._pixels.flush()

    def abort(self) -> None:
        """The folder that holds it is removed."""


def predict_frames(
    files: ResultFiles,
    predictor: Predictor,
    image: Image,
    stem: str,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Predict all time points and write the same files as of one image; rows of objects have a column `time`.

    Args:
        files: where results go.
        predictor: a model of single time points.
        image: with a time axis.
        stem: name of the results.
        progress: told the share of the time-lapse done.

    Returns:
        The files.
    """
    count = image.sizes["T"]
    files.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".frames-", dir=files.out) as folder:
        inside = []
        for time, frame in enumerate(time_points(image)):
            writer = FrameWriter()
            inside.append(replace(files, out=Path(folder, str(time)), writer=writer, raw=files.raw and writer))
            inside[-1].predict(predictor, frame, stem, _part(progress, time, count))
        _join(files.writer, files.result(stem), [_kept(each.writer, each.result(stem)) for each in inside])
        if files.raw:
            _join(files.raw, files.output(stem), [_kept(each.writer, each.output(stem)) for each in inside])
        tables = [each.table(stem) for each in inside]
        if tables[0].is_file():
            rows = [{"time": time, **row} for time, table in enumerate(tables) for row in _rows(table)]
            write_objects(files.table(stem), "ZYX"[-predictor.spatial_dims :], rows, times=True)
            return [*files.images(stem), files.table(stem)]
    return files.images(stem)


def _part(progress: Callable[[float], None] | None, time: int, count: int) -> Callable[[float], None] | None:
    return None if progress is None else lambda share: progress((time + share) / count)


def _kept(writer: ImageWriter, path: Path) -> Image:
    assert isinstance(writer, FrameWriter)
    return writer.open(path)


def _join(writer: ImageWriter, path: Path, frames: Sequence[Image]) -> None:
    """Write frames as one image with the axis T in front."""
    shape, dtype = (len(frames), *frames[0].shape), np.result_type(*(frame.dtype for frame in frames))
    first = frames[0]
    like = Image(np.broadcast_to(np.zeros((), dtype), shape), "T" + first.axes, first.pixel_size, first.channel_names)
    with started(lambda like, shape, dtype: writer.create(path, like, shape, dtype), like) as target:
        for time, frame in enumerate(frames):
            for block in cut_blocks(frame.shape, (COPIED,) * len(frame.shape), 0):
                target.write_region((time, *block.start), np.asarray(frame.data[block.core])[None].astype(dtype))


def _rows(table: Path) -> list[Mapping[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
