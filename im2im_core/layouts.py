"""Finds the images of a data set on disk: folders of pairs in three layouts, and tables of paths. Loads no torch."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from im2im_core.errors import DataError
from im2im_core.filenames import (
    NOT_IMAGES,
    ROLES,
    is_image_folder,
    list_folder,
    some,
    some_entries,
    split_name,
    stem_of,
)
from im2im_core.tables import Row, read_table

EXPECTED = (
    "expected 'X_IM.tiff' with 'X_GT.tiff', or sub-folders 'IM' and 'GT', or sub-folders 'train' and 'val', or a CSV"
)

__all__ = ["Source", "Split", "Subject", "find_images", "find_split", "find_subjects", "find_targets", "stem_of"]

Source = Path | str | Mapping[str, Path | str | None]


@dataclass(frozen=True, slots=True)
class Subject:
    """One image and what belongs to it.

    Attributes:
        stem: its name without role and suffix.
        image: the image's file, or folder for formats such as OME-Zarr.
        target: what the image is to become; None when there is none, or it is a number.
        costmap: 0 where a pixel does not count; None when every pixel does.
        value: the target of an image that a table gives a number.
        channels: of the image, names or numbers from 0; empty: all.
    """

    stem: str
    image: Path
    target: Path | None = None
    costmap: Path | None = None
    value: float | None = None
    channels: tuple[str, ...] = ()

    @property
    def has_target(self) -> bool:
        """An image or a number."""
        return self.target is not None or self.value is not None


@dataclass(frozen=True, slots=True)
class Split:
    """Subjects for training, and those for validation where the layout names them (None: it does not)."""

    train: list[Subject]
    val: list[Subject] | None = None


def find_subjects(source: Source, *, need_target: bool = True) -> list[Subject]:
    """All subjects of a data set, sorted by stem; those of `train` before those of `val`.

    Args:
        source: a folder in one of the layouts, a CSV, or `{"train": DIR, "val": DIR}`.
        need_target: an image without a target is an error.

    Raises:
        DataError: nothing usable there, files missing, or two files that claim one role.
    """
    split = find_split(source, need_target=need_target)
    return [*split.train, *(split.val or [])]


def find_split(source: Source, *, need_target: bool = True) -> Split:
    """As `find_subjects`, with training and validation apart where the layout keeps them apart."""
    if isinstance(source, Mapping):
        train, val = source.get("train"), source.get("val")
        if train is None:
            raise DataError("no training data were named", "set dataset.train beside dataset.val")
        found = find_subjects(train, need_target=need_target)
        return Split(found, find_subjects(val, need_target=need_target) if val is not None else None)
    path = Path(source).expanduser()
    if path.is_file():
        return Split(_from_table(path, need_target))
    entries = list_folder(path)
    subjects = _in_folder(path, entries, need_target)
    if subjects is not None:
        return Split(subjects)
    if entries.get("train", False):
        val = path / "val" if entries.get("val", False) else None
        return find_split({"train": path / "train", "val": val}, need_target=need_target)
    raise _unrecognised(path, entries)


def find_images(source: Path | str, suffixes: Iterable[str] = ()) -> list[tuple[str, Path]]:
    """Images to predict from, as (stem, path), sorted by stem.

    Args:
        source: an image, a folder, a glob pattern, or a CSV with a column 'image'. Of a folder in a training layout the
            images are taken and not the targets; of any other folder all files with one of the suffixes.
        suffixes: of readable files (".tiff", ".ome.zarr"); empty: whatever is not plainly something else.

    Raises:
        DataError: nothing is there, or two images have the same stem, so that their results would have one name.
    """
    return _find_role("image", source, tuple(suffixes))


def find_targets(source: Path | str, suffixes: Iterable[str] = ()) -> list[tuple[str, Path]]:
    """As `find_images`, but of a training layout the targets."""
    return _find_role("target", source, tuple(suffixes))


def _find_role(role: str, source: Path | str, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return _unique(_role_in_table(role, path))
        return [(stem_of(path), path)]
    if path.is_dir():
        if is_image_folder(path.name):
            return [(stem_of(path), path)]
        return _unique(_role_in_folder(role, path, suffixes))
    if glob.has_magic(str(source)):
        # Path.glob takes no absolute patterns.
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        usable = [match for match in matches if _is_image_file(match)]
        if not usable:
            raise DataError(f"no file matches '{source}'", "put the pattern in quotes and check the folder")
        return _unique((stem_of(match), match) for match in usable)
    raise DataError(f"'{source}' does not exist", "name an image, a folder, a pattern in quotes, or a CSV")


def _role_in_table(role: str, path: Path) -> list[tuple[str, Path]]:
    rows = read_table(path, (role,))
    if any(role not in row.paths for row in rows):
        raise DataError(
            f"the targets in '{path}' are numbers, not images",
            "compare numbers with numbers: im2im evaluate OUT/values.csv TABLE",
        )
    return [(stem_of(row.paths[role]), row.paths[role]) for row in rows]


def _role_in_folder(role: str, path: Path, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    entries = list_folder(path)
    subjects = _in_folder(path, entries, need_target=False, sole=True)
    if subjects is None and entries.get("train", False):
        subjects = find_subjects(path, need_target=False)
    if subjects is not None:
        found = [(subject.stem, getattr(subject, role)) for subject in subjects]
        found = [(stem, file) for stem, file in found if file is not None]
        if found:
            return found
    endings = tuple(suffix.lower() for suffix in suffixes)
    usable = [
        path / name
        for name, is_dir in entries.items()
        if not is_dir and (name.lower().endswith(endings) if endings else split_name(name)[2].lower() not in NOT_IMAGES)
    ]
    if not usable:
        known = f"readable: {', '.join(suffixes)}" if suffixes else "name another folder"
        raise DataError(f"folder '{path}' holds no image; found: {some_entries(entries)}", known)
    return [(stem_of(file), file) for file in usable]


def _is_image_file(path: Path) -> bool:
    inside = any(is_image_folder(parent.name) for parent in path.parents)
    return not inside and not path.name.startswith(".") and (is_image_folder(path.name) or not path.is_dir())


def _in_folder(path: Path, entries: Mapping[str, bool], need_target: bool, sole: bool = False) -> list[Subject] | None:
    """Subjects of the two layouts without train and val; None when it is neither.

    `sole` asks for more certainty: files named 'X_IM' count only when nothing but files with roles lies there, or
    targets too. To a person predicting a folder, one image that happens to end in '_IM' is no training layout.
    """
    files, others = roles_in_folder(path, entries)
    if not files["IM"]:
        return None
    if sole and others and not files.get("GT"):
        return None
    return _join(path, files, need_target)


def roles_in_folder(path: Path, entries: Mapping[str, bool]) -> tuple[dict[str, dict[str, Path]], bool]:
    """Files of the two layouts without train and val, and whether files without a role lie beside them.

    Args:
        path: a folder.
        entries: what is in it, from `list_folder`.

    Returns:
        role -> stem -> file, the role 'IM' always among them; and whether there are other files.

    Raises:
        DataError: two files claim one role.
    """
    if entries.get("IM", False):
        return {role: files_by_stem(path / role, role) for role in ROLES if entries.get(role, False)}, False
    files: dict[str, dict[str, Path]] = {role: {} for role in ROLES}
    others = False
    for name, is_dir in entries.items():
        stem, role, suffix = split_name(name)
        if is_dir or suffix.lower() in NOT_IMAGES:
            continue
        if role:
            _claim(files[role], stem, path / name, role)
        else:
            others = True
    return files, others


def files_by_stem(folder: Path, role: str) -> dict[str, Path]:
    """Stem -> file of a folder whose images all have one role.

    Raises:
        DataError: the folder is empty, or two files have the same stem.
    """
    found: dict[str, Path] = {}
    for name, is_dir in list_folder(folder).items():
        stem, _, suffix = split_name(name)
        if not is_dir and suffix.lower() not in NOT_IMAGES:
            _claim(found, stem, folder / name, role)
    return found


def _claim(files: dict[str, Path], stem: str, file: Path, role: str) -> None:
    if stem in files:
        raise DataError(
            f"two files claim to be the {ROLES[role]} of '{stem}': '{files[stem]}' and '{file.name}'",
            "keep one of them",
        )
    files[stem] = file


def _join(path: Path, files: Mapping[str, Mapping[str, Path]], need_target: bool) -> list[Subject]:
    images, targets, costmaps = (files.get(role, {}) for role in ROLES)
    without = [file for stem, file in images.items() if stem not in targets] if need_target else []
    if without:
        raise DataError(
            f"{len(without)} of {len(images)} images in '{path}' have no target: "
            f"{some([file.name for file in without])}",
            "add a file of the same stem as 'X_GT' (or in 'GT'), or take the image away",
        )
    return [Subject(stem, image, targets.get(stem), costmaps.get(stem)) for stem, image in sorted(images.items())]


def _from_table(path: Path, need_target: bool) -> list[Subject]:
    if path.suffix.lower() != ".csv":
        raise DataError(f"'{path}' is a file, not a data set", EXPECTED)
    rows = read_table(path, ("image", "target") if need_target else ("image",))
    subjects = [subject_of(row) for row in rows]
    seen: set[Path] = set()
    for subject in subjects:
        if subject.image in seen:
            raise DataError(f"'{path}' lists the image '{subject.image}' twice", "keep one of the rows")
        seen.add(subject.image)
    return sorted(subjects, key=lambda subject: (subject.stem, subject.image))


def subject_of(row: Row) -> Subject:
    """What a line of a table with an image says."""
    image = row.paths["image"]
    return Subject(stem_of(image), image, row.paths.get("target"), row.paths.get("costmap"), row.value)


def _unique(found: Iterable[tuple[str, Path]]) -> list[tuple[str, Path]]:
    result: dict[str, Path] = {}
    for stem, path in found:
        if stem in result:
            raise DataError(
                f"'{result[stem]}' and '{path}' have the same stem '{stem}', so their results would have one name",
                "rename one, or choose the images with a pattern such as '*.tiff'",
            )
        result[stem] = path
    return sorted(result.items())


def _unrecognised(path: Path, entries: Mapping[str, bool]) -> DataError:
    return DataError(f"folder '{path}' has no layout that is known; found: {some_entries(entries)}", EXPECTED)
