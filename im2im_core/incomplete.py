"""Data sets in which files lack their partner: what is complete, and what stands alone. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from im2im_core.filenames import list_folder
from im2im_core.layouts import Source, Subject, find_subjects, roles_in_folder, subject_of
from im2im_core.tables import read_table


def find_complete(source: Source) -> tuple[list[Subject], list[Path]]:
    """Subjects with a target, sorted by stem, and the files without partner.

    Args:
        source: a folder in one of the layouts, a CSV, or `{"train": DIR, "val": DIR}`.

    Raises:
        DataError: nothing is complete; it is the error that training would end with.
    """
    subjects, alone = _find(source)
    if not subjects:
        find_subjects(source)  # says what is wrong
    return sorted(subjects, key=lambda subject: (subject.stem, subject.image)), alone


def _find(source: Source) -> tuple[list[Subject], list[Path]]:
    if isinstance(source, Mapping):
        found = [_find(folder) for folder in source.values() if folder is not None]
        return [s for subjects, _ in found for s in subjects], [path for _, paths in found for path in paths]
    path = Path(source).expanduser()
    if path.is_file():
        return _in_table(path)
    entries = list_folder(path)
    files, _ = roles_in_folder(path, entries)
    if not files["IM"] and entries.get("train", False):
        return _find({"train": path / "train", "val": path / "val" if entries.get("val", False) else None})
    images, targets, costmaps = (files.get(role, {}) for role in ("IM", "GT", "CM"))
    subjects = [Subject(s, images[s], targets[s], costmaps.get(s)) for s in images if s in targets]
    alone = [file for stem, file in images.items() if stem not in targets]
    alone += [file for each in (targets, costmaps) for stem, file in each.items() if stem not in images]
    return subjects, alone


def _in_table(path: Path) -> tuple[list[Subject], list[Path]]:
    """Of a table, what lacks a cell, or names a file that does not exist."""
    subjects, alone = [], []
    for row in read_table(path, (), check_files=False):
        there = all(file.exists() for file in row.paths.values())
        if there and "image" in row.paths and ("target" in row.paths or row.value is not None):
            subjects.append(subject_of(row))
        else:
            alone += [file for file in row.paths.values() if there or not file.exists()]
    return subjects, alone
