"""Pairs of images before training: which there are, what they are, and whether they fit together. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2im_core.builtin.dataset_config import PairedConfig
from im2im_core.errors import ConfigError, DataError
from im2im_core.image import Image
from im2im_core.interfaces import DataFacts, NumpyArray, ReadImage
from im2im_core.layouts import Subject, find_split

UNREADABLE = "check that the file is complete and opens in other software, or take it out of the data set"


def split_subjects(config: PairedConfig, seed: int) -> tuple[list[Subject], list[Subject]]:
    """Subjects for training and for validation. The split is by image and depends on the seed only.

    Raises:
        DataError: nothing usable on disk.
    """
    split = find_split(config.source)
    if split.val is not None:
        return split.train, split.val
    count = len(split.train)
    held = min(max(1, round(count * config.val_fraction)), count - 1) if config.val_fraction else 0
    chosen = set(np.random.default_rng(seed).permutation(count)[:held].tolist())
    train = [subject for index, subject in enumerate(split.train) if index not in chosen]
    return train, [split.train[index] for index in sorted(chosen)]


def open_image(load: ReadImage, path: Path, spatial_dims: int | None) -> Image:
    """A lazy image with axes CYX or CZYX, any failure told with the file's name.

    Args:
        load: opens files.
        path: the file.
        spatial_dims: 2 or 3; None: as the image is.

    Raises:
        DataError: unreadable, or of other dimensions.
    """
    try:
        image = load(path)
        return image.channels_first(spatial_dims or image.spatial_dims)
    except DataError as error:
        raise _named(path, error) from error
    except Exception as error:
        # Decoders raise whatever they like; to the user each of them means an unreadable file.
        raise DataError(f"cannot read '{path}': {_first_line(error)}", UNREADABLE) from error


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
    if 0 in image.shape:
        raise DataError(f"image '{subject.image}' is empty: shape {image.shape}", "take it out of the data set")


def check_size(config: PairedConfig, spatial_dims: int) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Patch size and largest validation size per spatial axis; None where there is no limit.

    Raises:
        ConfigError: a list of another length than there are axes.
    """
    try:
        patch = config.size(config.patch_size, spatial_dims, "dataset.patch_size")
        return patch, config.size(config.val_max_size, spatial_dims, "dataset.val_max_size")
    except ValueError as error:
        raise ConfigError(str(error), "give one number, or one per axis") from error


def inspect_paired(config: PairedConfig, load: ReadImage) -> DataFacts:
    """What the data are, from the listing and the headers of the first pair.

    Raises:
        DataError: nothing usable on disk, or the first pair does not fit together.
    """
    train, val = split_subjects(config, seed=0)
    return facts_of([*train, *val], len(train), load, config.spatial_dims)


def facts_of(subjects: Sequence[Subject], pairs: int, load: ReadImage, spatial_dims: int | None) -> DataFacts:
    """Facts about subjects, read from the headers of the first one."""
    first = min(subjects, key=lambda subject: subject.stem)  # whichever way they were split
    assert first.target is not None  # the listing saw to it
    image = open_image(load, first.image, spatial_dims)
    target = open_image(load, first.target, len(image.axes) - 1)
    check_pair(first, image, target)
    return DataFacts(
        pairs=pairs,
        spatial_dims=len(image.axes) - 1,
        in_channels=image.shape[0],
        target_channels=target.shape[0],
        pixel_size=image.pixel_size,
        axes=load(first.image).axes,
        dtype=str(image.dtype),
        target_dtype=str(target.dtype),
        has_costmap=any(subject.costmap for subject in subjects),
        channel_names=image.channel_names,
    )


def _named(path: Path, error: DataError) -> DataError:
    if str(path) in error.message:
        return error
    return DataError(f"'{path}': {error.message}", error.hint)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
