"""Dask arrays over files: nothing is decoded before a region is asked for, and a failure names its file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np

from im2im_core.errors import DataError, Im2imError

MOST_CHUNKS = 4096
"""Every access to a dask array costs time in proportion to all its chunks: about a second for 100,000 of them."""
STRIP_BYTES = 2**20

OpenSource = Callable[[], Any]


def _without_threads() -> None:
    dask.config.set(scheduler="synchronous")


if hasattr(os, "register_at_fork"):
    # Dask's threads do not survive a fork: a data loader's worker would wait for them for ever.
    os.register_at_fork(after_in_child=_without_threads)


class Regions:
    """A file's pixels, sliceable. Turns whatever a decoder raises into a DataError; reopens itself after pickling.

    Args:
        path: the file, for messages.
        open_source: opens something with shape, dtype and slicing; must itself be picklable.
        source: what `open_source` has already returned, if it has.
    """

    def __init__(self, path: Path, open_source: OpenSource, source: Any = None) -> None:
        self._path, self._open_source = path, open_source
        self._source = open_source() if source is None else source
        self.shape = tuple(int(length) for length in self._source.shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(self._source.dtype).newbyteorder("=")

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        try:
            if self._source is None:
                self._source = self._open_source()
            return np.asarray(self._source[key]).astype(self.dtype, copy=False)
        except Im2imError:
            raise
        except Exception as error:  # each of a dozen codecs has exceptions of its own
            raise DataError(
                f"cannot decode the pixels of '{self._path}': {reason(error)}", "the file is damaged; copy it again"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_source": None}


def reason(error: BaseException) -> str:
    """One short line of what an exception says."""
    first = next(iter(str(error).strip().splitlines()), "")
    return first[:200] or type(error).__name__


def lazy_array(regions: Regions, stored_chunks: Sequence[int]) -> da.Array:
    """A dask array with the file's own chunks, or multiples of them where they are very many.

    Args:
        regions: the file.
        stored_chunks: what the file decodes at a time, per dimension.
    """
    chunks = coarser(regions.shape, stored_chunks)
    meta = np.empty((0,) * regions.ndim, regions.dtype)
    array: da.Array = da.from_array(  # type: ignore[no-untyped-call]
        regions, chunks=chunks, name=False, fancy=False, meta=meta
    )
    return array


def coarser(shape: Sequence[int], stored_chunks: Sequence[int], most: int = MOST_CHUNKS) -> tuple[int, ...]:
    """Chunks doubled along the dimension that has the most of them, until there are at most `most`."""
    chunks = [max(1, min(int(c), int(length))) for c, length in zip(stored_chunks, shape, strict=True)]
    while True:
        numbers = [math.ceil(length / chunk) for length, chunk in zip(shape, chunks, strict=True)]
        if math.prod(numbers) <= most:
            return tuple(chunks)
        widest = numbers.index(max(numbers))
        chunks[widest] = min(2 * chunks[widest], int(shape[widest]))


def taller(shape: Sequence[int], strip: Sequence[int], rows: int, itemsize: int) -> tuple[int, ...]:
    """As many whole strips as make up about a megabyte: a few rows each would be far too many chunks.

    Args:
        shape: lengths of the dimensions.
        strip: what one strip covers.
        rows: the dimension that strips divide.
        itemsize: bytes per pixel.
    """
    chunk = list(strip)
    fitting = STRIP_BYTES // max(1, math.prod(strip) * itemsize)
    chunk[rows] = min(int(shape[rows]), int(strip[rows]) * max(1, fitting))
    return tuple(chunk)
