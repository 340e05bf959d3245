"""One row for each object of a label image: size, centre, bounding box and, where the method gives one, a score."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.files import write_beside

NumpyArray = np.ndarray[Any, Any]


class ObjectTable:
    """Gathers the objects of an image from its pieces.

    Args:
        axes: spatial axes, "YX" or "ZYX".
        count: number of the last label.
    """

    def __init__(self, axes: str, count: int) -> None:
        self.axes = axes
        self.pixels = np.zeros(count, np.int64)
        self._sums = np.zeros((len(axes), count))
        self._first = np.full((len(axes), count), np.iinfo(np.int64).max)
        self._last = np.full((len(axes), count), -1, np.int64)

    def add(self, labels: NumpyArray, start: Sequence[int]) -> None:
        """Take a piece of the image.

        Args:
            labels: ([Z], Y, X) integers from 0 (background) to `count`.
            start: its first pixel in the image.
        """
        places = np.nonzero(labels)
        if not len(places[0]):
            return
        owner = labels[places].astype(np.int64) - 1
        self.pixels += np.bincount(owner, minlength=len(self.pixels))
        order = np.argsort(owner, kind="stable")
        present, begins = np.unique(owner[order], return_index=True)
        for axis, (place, first) in enumerate(zip(places, start, strict=True)):
            position = place[order] + first
            self._sums[axis, present] += np.add.reduceat(position, begins)
            self._first[axis, present] = np.minimum(self._first[axis, present], np.minimum.reduceat(position, begins))
            self._last[axis, present] = np.maximum(self._last[axis, present], np.maximum.reduceat(position, begins))

    def rows(self, pixel_size: Mapping[str, float], scores: NumpyArray | None = None) -> list[dict[str, Any]]:
        """The table; labels without pixels have no row.

        Args:
            pixel_size: micrometre per axis; without it sizes in micrometres are empty.
            scores: one for each label from 1 on.

        Returns:
            Per object `label`, `score`, `center_y` ... (pixels), `pixels`, `area_um2` or `volume_um3`, and the bounding
            box `min_y`, `max_y` ... (first and last pixel).
        """
        known = all(axis in pixel_size for axis in self.axes)
        unit = math.prod(pixel_size[axis] for axis in self.axes) if known else math.nan
        size = "volume_um3" if len(self.axes) == 3 else "area_um2"
        result = []
        for index in np.flatnonzero(self.pixels):
            pixels = int(self.pixels[index])
            row: dict[str, Any] = {
                "label": int(index) + 1,
                "score": _text(scores[index] if scores is not None else None),
            }
            for axis, sums in zip(self.axes.lower(), self._sums, strict=True):
                row[f"center_{axis}"] = round(float(sums[index]) / pixels, 3)
            row |= {"pixels": pixels, size: _text(pixels * unit)}
            for axis, first, last in zip(self.axes.lower(), self._first, self._last, strict=True):
                row |= {f"min_{axis}": int(first[index]), f"max_{axis}": int(last[index])}
            result.append(row)
        return result


def columns_of(axes: str) -> list[str]:
    """Names of the columns, in their order."""
    letters = axes.lower()
    size = "volume_um3" if len(axes) == 3 else "area_um2"
    box = [f"{end}_{letter}" for letter in letters for end in ("min", "max")]
    return ["label", "score", *(f"center_{letter}" for letter in letters), "pixels", size, *box]


def write_objects(path: Path, axes: str, rows: Sequence[Mapping[str, Any]], *, times: bool = False) -> None:
    """Write the table as CSV, whole or not at all.

    Args:
        path: the file.
        axes: spatial axes, "YX" or "ZYX".
        rows: of the objects.
        times: rows begin with `time`.
    """
    with write_beside(path) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, ["time"] * times + columns_of(axes))
        table.writeheader()
        table.writerows(rows)


def _text(value: Any) -> float | str:
    """A figure, or nothing where it is not known."""
    return "" if value is None or math.isnan(value) else float(f"{value:.6g}")
