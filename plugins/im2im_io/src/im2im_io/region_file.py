"""Files that are written piece by piece beside their final name, and get it only once they are complete."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from im2im_core.errors import OutputError
from im2im_core.files import write_beside
from im2im_core.image import Image


class _Abandoned(Exception):
    """Somebody gave up; what is there is to be removed."""


class RegionFile:
    """The RegionWriter of all formats of this package. As a context manager it closes itself, or aborts.

    Args:
        path: the final name.
        open_target: makes the file under a temporary name and returns an array, which takes slices.
        finish: completes that file, before it is renamed.

    Raises:
        OutputError: the place cannot be written, or the disk is full.
    """

    def __init__(
        self, path: Path, open_target: Callable[[Path], Any], finish: Callable[[Any, Path], None] | None = None
    ) -> None:
        self._path, self._finish = path, finish
        self._open = True
        self._place = write_beside(path)
        self._beside = self._place.__enter__()
        with self._cleaning():
            self._target = open_target(self._beside)

    def write_region(self, start: tuple[int, ...], data: np.ndarray[Any, Any]) -> None:
        """Write `data` with its first pixel at `start`, in the axes of the file.

        Raises:
            OutputError: it cannot be written, for instance because the disk is full; nothing is left behind.
        """
        if not self._open:
            raise OutputError(f"'{self._path}' is closed already")
        with self._cleaning():
            region = tuple(slice(first, first + length) for first, length in zip(start, data.shape, strict=True))
            if any(part.stop > length for part, length in zip(region, self._target.shape, strict=True)):
                # numpy would complain, zarr would write what fits
                raise ValueError(f"a region of shape {data.shape} at {start} lies outside '{self._path}'")
            self._target[region] = data

    def close(self) -> None:
        """Complete the file and give it its final name."""
        if not self._open:
            return
        with self._cleaning():
            if self._finish is not None:
                self._finish(self._target, self._beside)
        self._open, self._target = False, None
        self._place.__exit__(None, None, None)

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._open:
            with suppress(_Abandoned), self._cleaning():
                raise _Abandoned

    def __enter__(self) -> RegionFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    @contextmanager
    def _cleaning(self) -> Iterator[None]:
        """When the block fails, leave nothing behind; an OSError comes out as an OutputError."""
        try:
            yield
        except BaseException as error:
            self._open, self._target = False, None
            self._place.__exit__(type(error), error, error.__traceback__)
            raise


def copy_image(image: Image, target: RegionFile, block: Sequence[int]) -> None:
    """Write a lazy image block by block, so that never more than a block is in memory.

    Args:
        image: what to write.
        target: where to.
        block: lengths of a block; best a multiple of what the file stores together.
    """
    for start in block_starts(image.shape, block):
        region = tuple(slice(first, first + length) for first, length in zip(start, block, strict=True))
        target.write_region(start, np.asarray(image.data[region]))


def block_starts(shape: Sequence[int], block: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The first pixel of each block, in the order of the array."""
    return itertools.product(*(range(0, length, step) for length, step in zip(shape, block, strict=True)))


def plane_block(image: Image, rows: int | None = None) -> tuple[int, ...]:
    """A block of one plane, or of some rows of it, in the axes of the image."""
    lengths = {"X": image.sizes.get("X", 1), "Y": rows or image.sizes.get("Y", 1)}
    return tuple(lengths.get(axis, 1) for axis in image.axes)


def reserve(path: Path) -> None:
    """Have the disk hold the whole of a sparse file now: later, under a memory map, a full disk kills the process.

    Raises:
        OSError: the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
