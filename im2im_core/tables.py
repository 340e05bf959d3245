"""Tables of image paths: CSV files with columns image, target, costmap. Loads no torch."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from im2im_core.errors import DataError
from im2im_core.filenames import some

COLUMNS = ("image", "target", "costmap")
DELIMITERS = ",;\t"

Row = dict[str, Path]


def read_table(path: Path, needed: Iterable[str]) -> list[Row]:
    """Rows of a table of paths. Relative paths are relative to the table; an empty cell is left out of its row.

    Args:
        path: the CSV, in UTF-8, separated by comma, semicolon or tab.
        needed: columns that must be there, with a path in every row.

    Raises:
        DataError: unreadable, a column or a cell is missing, no rows, or files that do not exist.
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
    absent = [file for row in rows for file in row.values() if not file.exists()]
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
                f"line {number} of '{path}' has no path in column '{column}'", "fill it, or remove the line"
            )
    return {name: path.parent / Path(text).expanduser() for name, text in filled.items()}
