"""Pairs of images before training: which there are, what they are, and whether they fit together. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from im2im_core.data.config import FolderConfig
from im2im_core.errors import ConfigError, DataError
from im2im_core.image import Image
from im2im_core.incomplete import find_complete
from im2im_core.interfaces import DataFacts, NumpyArray, ReadImage
from im2im_core.layouts import Subject as Subject
from im2im_core.layouts import find_split
from im2im_core.selection import select_channels

UNREADABLE = "check that the file is complete and opens in other software, or take it out of the data set"


def split_subjects(config: FolderConfig, seed: int) -> tuple[list[Subject], list[Subject]]:
    """Subjects for training and for validation. The split is by image and depends on the seed only.

    Raises:
        DataError: nothing usable on disk.
    """
    split = find_split(config.source)
    train = config.choose_channels(split.train)
    if split.val is not None:
        return train, config.choose_channels(split.val)
    return hold_out(train, config.val_fraction, seed)


def hold_out(subjects: Sequence[Subject], fraction: float, seed: int) -> tuple[list[Subject], list[Subject]]:
    """Subjects for training and those set apart, which depend on the seed and the number of subjects only.

    Args:
        subjects: what is split, in an order that is always the same.
        fraction: share set apart; at least one of two or more subjects unless it is 0.
        seed: decides which.
    """
    count = len(subjects)
    held = min(max(1, round(count * fraction)), count - 1) if fraction else 0
    chosen = set(np.random.default_rng(seed).permutation(count)[:held].tolist())
    train = [subject for index, subject in enumerate(subjects) if index not in chosen]
    return train, [subjects[index] for index in sorted(chosen)]


def open_image(load: ReadImage, path: Path, spatial_dims: int | None, channels: Sequence[str] = ()) -> Image:
    """A lazy image with axes CYX or CZYX, any failure told with the file's name.

    Args:
        load: opens files.
        path: the file.
        spatial_dims: 2 or 3; None: as the image is.
        channels: names or numbers from 0; empty: all.

    Raises:
        DataError: unreadable, or of other dimensions or without such a channel.
    """
    try:
        image = select_channels(load(path), channels)
        return image.channels_first(spatial_dims or image.spatial_dims)
    except DataError as error:
        raise _named(path, error) from error
    except Exception as error:
        # Decoders raise whatever they like; to the user each of them means an unreadable file.
        raise DataError(f"cannot read '{path}': {_first_line(error)}", UNREADABLE) from error


def open_target(load: ReadImage, subject: Subject, image: Image) -> Image:
    """The target of an image: its own file, or a number as an image of that value all over, which takes no memory.

    Raises:
        DataError: unreadable, or of other dimensions.
    """
    if subject.value is not None:
        pixels = np.broadcast_to(np.float32(subject.value), (1, *image.shape[1:]))
        return Image(pixels, image.axes, image.pixel_size)
    assert subject.target is not None  # the listing saw to it
    return open_image(load, subject.target, image_dims(image))


def read_pixels(image: Image, path: Path) -> NumpyArray:
    """All pixels of an opened image.

    Raises:
        DataError: they cannot be decoded, or are NaN or infinite.
    """
    try:
        pixels = image.compute()
    except DataError as error:
        raise _named(path, error) from error
    except Exception as error:
        raise DataError(f"cannot read '{path}': {_first_line(error)}", UNREADABLE) from error
    if pixels.dtype.kind in "fc" and not np.isfinite(pixels).all():
        bad = int(np.count_nonzero(~np.isfinite(pixels)))
        raise DataError(
            f"'{path}' holds NaN or infinite values in {bad} of {pixels.size} pixels",
            "replace them (a cost map of 0 makes pixels not count), or take the image out of the data set",
        )
    return pixels


def check_pair(subject: Subject, image: Image, target: Image, costmap: Image | None = None) -> None:
    """Whether image, target and cost map cover the same pixels.

    Raises:
        DataError: their shapes differ.
    """
    for path, other, what in ((subject.target, target, "target"), (subject.costmap, costmap, "cost map")):
        if other is not None and other.shape[1:] != image.shape[1:]:
            raise DataError(
                f"image '{subject.image}' has shape {image.shape[1:]} but its {what} '{path}' {other.shape[1:]} "
                f"(axes {image.axes[1:]})",
                "both must show the same pixels; check that they belong together",
            )
    if costmap is not None and costmap.shape[0] not in (1, target.shape[0]):
        raise DataError(
            f"cost map '{subject.costmap}' has {costmap.shape[0]} channels, its target {target.shape[0]}",
            "a cost map has one channel, or as many as the target",
        )
    check_not_empty(subject.image, image)


def check_not_empty(path: Path, image: Image) -> None:
    """Whether an image has pixels.

    Raises:
        DataError: it has none.
    """
    if 0 in image.shape:
        raise DataError(f"image '{path}' is empty: shape {image.shape}", "take it out of the data set")


def check_size(config: FolderConfig, spatial_dims: int) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Patch size and largest validation size per spatial axis; None where there is no limit.

    Raises:
        ConfigError: a list of another length than there are axes.
    """
    try:
        patch = config.size(config.patch_size, spatial_dims, "dataset.patch_size")
        return patch, config.size(config.val_max_size, spatial_dims, "dataset.val_max_size")
    except ValueError as error:
        raise ConfigError(str(error), "give one number, or one per axis") from error


def inspect_paired(config: FolderConfig, load: ReadImage, *, incomplete: bool = False) -> DataFacts:
    """What the data are, from the listing and the headers of the first pair.

    Args:
        config: settings of the data set.
        load: opens a file.
        incomplete: leave out files that lack their partner, where training refuses them.

    Raises:
        DataError: nothing usable on disk, or the first pair does not fit together.
    """
    if incomplete:
        subjects, _ = find_complete(config.source)
        subjects = config.choose_channels(subjects)
        return facts_of(subjects, len(subjects), load, config.spatial_dims)
    train, val = split_subjects(config, seed=0)
    return facts_of([*train, *val], len(train), load, config.spatial_dims)


def facts_of(subjects: Sequence[Subject], pairs: int, load: ReadImage, spatial_dims: int | None) -> DataFacts:
    """Facts about subjects, read from the headers of the first one."""
    first = min(subjects, key=lambda subject: subject.stem)  # whichever way they were split
    image = open_image(load, first.image, spatial_dims, first.channels)
    target = open_target(load, first, image)
    check_pair(first, image, target)
    has_costmap = any(subject.costmap for subject in subjects)
    facts = describe(pairs, image, target, axes=load(first.image).axes, has_costmap=has_costmap)
    return replace(facts, number_targets=first.value is not None)


def image_dims(image: Image) -> int:
    """Spatial dimensions of an image that `open_image` gave."""
    return len(image.axes) - 1


def describe(pairs: int, image: Image, target: Image, *, axes: str, has_costmap: bool = False) -> DataFacts:
    """Facts from an image and a target of the data set.

    Args:
        pairs: how many there are.
        image: from `open_image`.
        target: from `open_image`.
        axes: of the image as it is stored.
        has_costmap: there are cost maps.
    """
    return DataFacts(
        pairs=pairs,
        spatial_dims=image_dims(image),
        in_channels=image.shape[0],
        target_channels=target.shape[0],
        pixel_size=image.pixel_size,
        axes=axes,
        dtype=str(image.dtype),
        target_dtype=str(target.dtype),
        has_costmap=has_costmap,
        channel_names=image.channel_names,
    )


def _named(path: Path, error: DataError) -> DataError:
    if str(path) in error.message:
        return error
    return DataError(f"'{path}': {error.message}", error.hint)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
