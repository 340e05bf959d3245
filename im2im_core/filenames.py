"""File names as data sets use them: stem, role and suffix, and what a folder holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from im2im_core.errors import DataError

ROLES: Mapping[str, str] = {"IM": "image", "GT": "target", "CM": "costmap"}
FOLDER_FORMATS = (".zarr",)
DOUBLE_SUFFIXES = (".ome",)
COMPRESSED = (".gz", ".bz2", ".xz")
# What lies beside images without being one, such as a microscope's notes under the image's own name.
NOT_IMAGES = frozenset(
    {".json", ".txt", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".md", ".log", ".db", ".ini", ".html"}
)
LISTED = 5


def stem_of(path: Path | str) -> str:
    """Name of a file without its suffix and without its role: 'cell_1_IM.ome.tiff' -> 'cell_1'."""
    return split_name(Path(path).name)[0]


def split_name(name: str) -> tuple[str, str, str]:
    """File name -> (stem, role, suffix): 'cell_1_IM.ome.tiff' -> ('cell_1', 'IM', '.ome.tiff'); the role may be ''."""
    stem, suffix = split_suffix(name)
    base, _, role = stem.rpartition("_")
    return (base, role, suffix) if base and role in ROLES else (stem, "", suffix)


def split_suffix(name: str) -> tuple[str, str]:
    """File name -> (stem, suffix); '.ome.tiff', '.ome.zarr' and '.nii.gz' are one suffix."""
    # Plain text work: pathlib would take most of the time of listing a large data set.
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        return name, ""
    inner, second, middle = stem.rpartition(".")
    if inner and ("." + middle.lower() in DOUBLE_SUFFIXES or "." + suffix.lower() in COMPRESSED):
        return inner, second + middle + dot + suffix
    return stem, dot + suffix


def list_folder(path: Path) -> dict[str, bool]:
    """Name -> is a folder, sorted, without hidden ones. Folders that are images count as files."""
    try:
        with os.scandir(path) as scan:
            found = {e.name: e.is_dir() and not is_image_folder(e.name) for e in scan if not e.name.startswith(".")}
    except FileNotFoundError:
        raise DataError(f"folder '{path}' does not exist", "check the path") from None
    except OSError as error:
        raise DataError(f"cannot list '{path}': {error.strerror}", "check the path and its permissions") from error
    if not found:
        raise DataError(f"folder '{path}' is empty", "name a folder with images in it")
    return dict(sorted(found.items()))


def is_image_folder(name: str) -> bool:
    """Whether a folder of that name is one image, as OME-Zarr is."""
    return name.lower().endswith(FOLDER_FORMATS)


def some_entries(entries: Mapping[str, bool]) -> str:
    """The first few of what `list_folder` found, for a message."""
    return some([f"{name}/" if is_dir else name for name, is_dir in entries.items()])


def some(names: Sequence[object]) -> str:
    """The first few names in quotes, and how many more there are, for a message."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(f"'{name}'" for name in names[:LISTED]) + more
