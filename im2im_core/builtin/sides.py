"""Images and targets that are no pairs, before training: which there are, and what they are. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from im2im_core.builtin.dataset_config import UnpairedConfig
from im2im_core.data.pairs import check_not_empty, describe, hold_out, image_dims, open_image
from im2im_core.data.survey import survey_files
from im2im_core.errors import DataError
from im2im_core.filenames import list_folder, some_entries, stem_of
from im2im_core.interfaces import DataFacts, DataSurvey, ReadImage
from im2im_core.layouts import Source, Subject, files_by_stem, roles_in_folder
from im2im_core.tables import read_table

EXPECTED = "expected sub-folders 'A' and 'B', or 'IM' and 'GT', or 'train' and 'val', or 'X_IM' and 'X_GT', or a CSV"


@dataclass(frozen=True, slots=True)
class Sides:
    """Two sets of files.

    Attributes:
        images: the image side, sorted by stem; each a subject without a target.
        targets: the target side, likewise: the subject's `image` is the target's file.
    """

    images: list[Subject]
    targets: list[Subject]

    @property
    def most(self) -> int:
        """Size of the larger side."""
        return max(len(self.images), len(self.targets))

    def __bool__(self) -> bool:
        return bool(self.images and self.targets)


def find_sides(source: Source) -> tuple[Sides, Sides | None]:
    """Sides for training, and those for validation where the layout names them (None: it does not).

    Args:
        source: a folder in one of the layouts, a CSV, or `{"train": DIR, "val": DIR}`.

    Raises:
        DataError: nothing usable there, or one side is missing.
    """
    if isinstance(source, Mapping):
        train, val = source.get("train"), source.get("val")
        if train is None:
            raise DataError("no training data were named", "set dataset.train beside dataset.val")
        return _both(train), _both(val) if val is not None else None
    path = Path(source).expanduser()
    if path.is_file():
        return _from_table(path), None
    entries = list_folder(path)
    sides = _in_folder(path, entries)
    if sides is not None:
        return sides, None
    if entries.get("train", False):
        return find_sides({"train": path / "train", "val": path / "val" if entries.get("val", False) else None})
    raise DataError(f"folder '{path}' has no layout that is known; found: {some_entries(entries)}", EXPECTED)


def split_sides(config: UnpairedConfig, seed: int) -> tuple[Sides, Sides]:
    """Sides for training and for validation. Each side is split by itself, by the seed.

    Two sides of equal names lose the same names, so that there validation has real pairs. Where a side has a single
    file, nothing is set apart.

    Raises:
        DataError: nothing usable on disk.
    """
    train, val = find_sides(config.source)
    train = Sides(config.choose_channels(train.images), train.targets)
    if val is not None:
        return train, Sides(config.choose_channels(val.images), val.targets)
    kept_images, images = hold_out(train.images, config.val_fraction, seed)
    kept_targets, targets = hold_out(train.targets, config.val_fraction, seed)
    held = Sides(images, targets)
    return (Sides(kept_images, kept_targets), held) if held else (train, Sides([], []))


def pair_up(sides: Sides) -> list[tuple[int, int]]:
    """Which image and which target are compared in validation, as indices, always the same.

    By name, if at least half of the smaller side have a namesake: they are taken for real pairs, and files without one
    are left out. Otherwise by order, the smaller side beginning anew when it is used up.
    """
    if not sides:
        return []
    numbers = {subject.stem: number for number, subject in enumerate(sides.targets)}
    named = [(n, numbers[subject.stem]) for n, subject in enumerate(sides.images) if subject.stem in numbers]
    images, targets = len(sides.images), len(sides.targets)
    if 2 * len(named) >= min(images, targets):
        return named
    return [(number % images, number % targets) for number in range(sides.most)]


def inspect_unpaired(config: UnpairedConfig, load: ReadImage) -> DataFacts:
    """What the data are, from the listing and the headers of the first image and the first target.

    Raises:
        DataError: nothing usable on disk.
    """
    train, val = split_sides(config, seed=0)
    return facts_of_sides(train, val, load, config.spatial_dims)


def facts_of_sides(train: Sides, val: Sides, load: ReadImage, spatial_dims: int | None) -> DataFacts:
    """Facts about two sides; `pairs` is how many images or targets an epoch visits: as many as the larger side has."""
    first, first_target = (
        min(subjects, key=lambda subject: subject.stem)  # whichever way they were split
        for subjects in ([*train.images, *val.images], [*train.targets, *val.targets])
    )
    image = open_image(load, first.image, spatial_dims, first.channels)
    target = open_image(load, first_target.image, image_dims(image))
    check_not_empty(first.image, image)
    check_not_empty(first_target.image, target)
    facts = describe(train.most, image, target, axes=load(first.image).axes)
    return replace(facts, sides=(len(train.images), len(train.targets)))


def _both(source: Path | str) -> Sides:
    train, val = find_sides(source)
    return Sides([*train.images, *val.images], [*train.targets, *val.targets]) if val else train


def _in_folder(path: Path, entries: Mapping[str, bool]) -> Sides | None:
    if entries.get("A", False) or entries.get("B", False):
        names = ("A", "B")
        found = {
            name: files_by_stem(path / name, role)
            for name, role in zip(names, ("IM", "GT"), strict=True)
            if entries.get(name, False)
        }
    else:
        names = ("IM", "GT")
        found, _ = roles_in_folder(path, entries)
        if not any(found.get(name) for name in names):
            return None
    images, targets = (found.get(name, {}) for name in names)
    for name, files, what in ((names[0], images, "images"), (names[1], targets, "targets")):
        if not files:
            raise DataError(f"folder '{path}' holds no {what} ('{name}'); found: {some_entries(entries)}", EXPECTED)
    return Sides(_subjects(images.values()), _subjects(targets.values()))


def _from_table(path: Path) -> Sides:
    if path.suffix.lower() != ".csv":
        raise DataError(f"'{path}' is a file, not a data set", EXPECTED)
    rows = read_table(path, ())
    # A table of pairs may name one target for several images.
    files = {key: dict.fromkeys(row.paths[key] for row in rows if key in row.paths) for key in ("image", "target")}
    for key, found in files.items():
        if not found:
            raise DataError(
                f"'{path}' lists no file in a column '{key}'",
                "the first line must name the columns image,target; either cell of a row may be empty",
            )
    return Sides(_subjects(files["image"]), _subjects(files["target"]))


def _subjects(files: Iterable[Path]) -> list[Subject]:
    return sorted((Subject(stem_of(file), file) for file in files), key=lambda subject: (subject.stem, subject.image))


def survey_unpaired(config: UnpairedConfig, load: ReadImage, *, images: bool = False) -> DataSurvey:
    """As `survey_paired`, of data that are no pairs: the shapes are those of the images."""
    sides = split_sides(config, seed=0)
    images_of = sorted((subject for side in sides for subject in side.images), key=lambda subject: subject.image)
    target_paths = sorted(subject.image for side in sides for subject in side.targets)
    return survey_files(images_of, target_paths, config.spatial_dims, load, images=images)
