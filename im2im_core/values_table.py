"""One number for each image: the table that a regression writes in place of images, and that evaluation reads."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from im2im_core.errors import DataError
from im2im_core.files import write_beside
from im2im_core.image import Image

TASK = "regression"
TABLE_NAME = "values.csv"


class ValuesTable:
    """A table `image,value` that is written when its `with` block ends, also by an error or Ctrl-C.

    It replaces an older one as a whole; only a block that was interrupted before its first image leaves that as it is.
    Several outputs of a model are the columns value_1, value_2 and so on.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: list[dict[str, str]] = []

    def add(self, image: Path, result: Image, maps: Mapping[str, Image] | None = None) -> None:
        """Note the mean of a result over its image, ([C], [Z], Y, X), and of maps beside it, but for that of the mean.

        Raises:
            DataError: the mean is no finite number.
        """
        row = {"image": image.name}
        for name, values in {"value": result, **(maps or {})}.items():
            if name == "mean":
                continue  # of the samples: the value itself
            pixels = values.compute()
            outputs = pixels if "C" in values.axes else pixels[None]
            numbers = outputs.reshape(len(outputs), -1).mean(axis=1, dtype=np.float64)
            if not np.isfinite(numbers).all():
                raise DataError(f"the {name} of this image is '{numbers.tolist()}'", "check the training of the model")
            names = [name] if len(numbers) == 1 else [f"{name}_{k}" for k in range(1, len(numbers) + 1)]
            row |= dict(zip(names, (f"{number:.8g}" for number in numbers), strict=True))
        self._rows.append(row)

    def __enter__(self) -> ValuesTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self._rows:
            self._write()

    def _write(self) -> None:
        columns = self._rows[0] if self._rows else ("image", "value")
        with write_beside(self.path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(columns))
            table.writeheader()
            table.writerows(self._rows)


def values_table(task: str, out: Path) -> ValuesTable | None:
    """The table of a bundle of this task in a folder of results; None: its results are images."""
    return ValuesTable(out / TABLE_NAME) if task == TASK else None


def read_values(path: Path) -> dict[str, float]:
    """Image -> value of a table that `im2im predict` wrote.

    Raises:
        DataError: unreadable, another table, a cell that is no number, or an image that is listed twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read '{path}': {error}", "name the table that im2im predict has written") from error
    if "image" not in names or "value" not in names:
        found = ", ".join(f"'{name}'" for name in names) or "nothing"
        raise DataError(
            f"'{path}' has no columns 'image' and 'value'; found: {found}", "one number for each image is compared"
        )
    if not rows:
        raise DataError(f"'{path}' lists no images", "see what im2im predict has told about them")
    values: dict[str, float] = {}
    for line, row in enumerate(rows, 2):
        name, text = row["image"] or "", row["value"] or ""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"line {line} of '{path}' has the value '{text}'", "a finite number is needed")
        if name in values:
            raise DataError(f"'{path}' lists the image '{name}' twice", "keep one of the lines")
        values[name] = value
    return values
