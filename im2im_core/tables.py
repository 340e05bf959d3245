"""Tables of images: CSV files with columns image, target, costmap. Loads no torch."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from im2im_core.errors import DataError
from im2im_core.filenames import some

COLUMNS = ("image", "target", "costmap")
DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        line: its number in the file, from 1.
        paths: column -> path; an empty cell is left out, and so is a target that is a number.
        value: the target, where it is a number.
    """

    line: int
    paths: dict[str, Path] = field(default_factory=dict)
    value: float | None = None


def read_table(path: Path, needed: Iterable[str], *, check_files: bool = True) -> list[Row]:
    """Rows of a table of images. Relative paths are relative to the table.

    In the column `target` stand paths, or a number in every row: the one number that a regression is to find.

    Args:
        path: the CSV, in UTF-8, separated by comma, semicolon or tab.
        needed: columns that must be there, with something in every row.
        check_files: refuse paths that lead nowhere.

    Raises:
        DataError: unreadable, a column or a cell is missing, no rows, numbers beside paths, or files that do not exist.
    """
    needed = tuple(needed)
    lines = _lines(path)
    header = lines[0] if lines else ""
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(lines, delimiter=delimiter)
    names = [name.strip().lower() for name in next(reader, [])]
    missing = [column for column in needed if column not in names]
    if missing:
        found = ", ".join(f"'{name}'" for name in names) or "nothing"
        raise DataError(
            f"'{path}' has no column {' and '.join(repr(c) for c in missing)}; found: {found}",
            "the first line must name the columns image,target and optionally costmap",
        )
    rows = [
        _row(path, number, names, cells, needed) for number, cells in enumerate(reader, 2) if any(map(str.strip, cells))
    ]
    if not rows:
        raise DataError(f"'{path}' lists no images", "add a line per image below the column names")
    _check_one_kind(path, rows)
    absent = [file for row in rows for file in row.paths.values() if check_files and not file.exists()]
    if absent:
        raise DataError(
            f"{len(absent)} files that '{path}' lists do not exist: {some(absent)}",
            f"relative paths start at '{path.parent}'",
        )
    return rows


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"'{path}' is not a text in UTF-8", "save the table as 'CSV UTF-8'") from None
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}", "check the path and its permissions") from error


def _row(path: Path, number: int, names: list[str], cells: list[str], needed: tuple[str, ...]) -> Row:
    filled = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip() and name in COLUMNS}
    for column in needed:
        if column not in filled:
            raise DataError(
                f"line {number} of '{path}' has {'no path' if column != 'target' else 'nothing'} in column '{column}'",
                "fill it, or remove the line",
            )
    paths = {name: path.parent / Path(text).expanduser() for name, text in filled.items()}
    value = _number(filled.get("target", ""))
    # A file may have a number for a name, as the frames of a film do.
    if value is None or paths["target"].exists():
        return Row(number, paths)
    if not math.isfinite(value):
        raise DataError(
            f"line {number} of '{path}' has the target '{filled['target']}'", "give a finite number, or remove the line"
        )
    del paths["target"]
    return Row(number, paths, value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check_one_kind(path: Path, rows: list[Row]) -> None:
    """Refuse a column of numbers and paths; the fewer of the two are at fault."""
    numbers = [row for row in rows if row.value is not None]
    files = [row for row in rows if "target" in row.paths]
    if numbers and files:
        what, odd = ("path", files) if len(files) <= len(numbers) else ("number", numbers)
        cell = odd[0].paths["target"].name if what == "path" else f"{odd[0].value:g}"
        raise DataError(
            f"column 'target' of '{path}' mixes numbers and paths: line {odd[0].line} has the {what} '{cell}'",
            "give a number in every line, or a path in every line",
        )
