"""What the pixels of a data set are, for settings that are planned from them. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from im2im_core.data.config import FolderConfig
from im2im_core.data.pairs import image_dims, open_image, read_pixels, split_subjects
from im2im_core.data.target_counts import TargetCounts
from im2im_core.image import Image
from im2im_core.incomplete import find_complete
from im2im_core.interfaces import DataSurvey, NumpyArray, ReadImage
from im2im_core.layouts import Subject

MOST_PIXELS = 200_000
STRIP_PIXELS = 2**27
PERCENTILES = (1.0, 99.8)


def survey_paired(
    config: FolderConfig, load: ReadImage, *, images: bool = False, incomplete: bool = False
) -> DataSurvey:
    """Shapes, intensities and classes of all pairs. Every target is read whole: a rare class must not be missed.

    Args:
        config: settings of the data set.
        load: opens a file.
        images: read the pixels of the images too; of their headers alone the range of intensities stays unknown.
        incomplete: leave out files that lack their partner, where training refuses them.

    Raises:
        DataError: a file cannot be read.
    """
    alone: list[Path] = []
    if incomplete:
        subjects, alone = find_complete(config.source)
        subjects = config.choose_channels(subjects)
    else:
        subjects = sorted([s for part in split_subjects(config, seed=0) for s in part], key=lambda s: s.stem)
    targets = [subject.target for subject in subjects if subject.target]  # the listing saw to it that all have one
    found = survey_files(subjects, targets, config.spatial_dims, load, images=images)
    numbers = np.array([subject.value for subject in subjects if subject.value is not None])
    if len(numbers):
        found = replace(found, target_range=_ranges([numbers[None]]), foreground=float(np.mean(numbers > 0)))
    return replace(found, numbers=tuple(numbers.tolist()), alone=tuple(alone))


def survey_files(
    subjects: Sequence[Subject],
    target_paths: Sequence[Path],
    spatial_dims: int | None,
    load: ReadImage,
    *,
    images: bool,
) -> DataSurvey:
    """Shapes, intensities and classes of images and targets.

    Args:
        subjects: the images.
        target_paths: the targets, as many or not.
        spatial_dims: 2 or 3; None: as the images are.
        load: opens a file.
        images: read the pixels of the images too.

    Raises:
        DataError: a file cannot be read.
    """
    shapes, intensities, targets = [], [], []
    counts = TargetCounts()
    inside = total = 0
    pixel_size: dict[str, float] = {}
    for subject in subjects:
        image = open_image(load, subject.image, spatial_dims, subject.channels)
        spatial_dims = spatial_dims or image_dims(image)
        pixel_size = pixel_size or dict(image.pixel_size)
        shapes.append(image.shape[1:])
        if images:
            strips = list(_strips(image))
            most = len(subjects) * len(strips)
            intensities += [_some(read_pixels(strip, subject.image), most) for strip in strips]
    for path in target_paths:
        strips = list(_strips(open_image(load, path, spatial_dims)))
        for number, strip in enumerate(strips):
            target = read_pixels(strip, path)
            targets.append(_some(target, len(target_paths) * len(strips)))
            # Objects are cut by the borders of strips; those of one strip tell what there is to know.
            counts.add(target, objects=number == len(strips) // 2)
            inside += int(np.count_nonzero(target > 0))
            total += target.size
    classes = counts.classes()
    return DataSurvey(
        shapes=tuple(shapes),
        pixel_size=pixel_size,
        image_range=_ranges(intensities),
        target_range=_ranges(targets),
        classes=tuple(classes),
        foreground=inside / total if total else 0.0,
        class_pixels=classes,
        object_sizes=counts.object_sizes(),
    )


def _strips(image: Image) -> Iterator[Image]:
    """An image (C, [Z,] Y, X) as a whole, or one too large for that in strips along its second axis."""
    rows = max(1, STRIP_PIXELS * image.shape[1] // max(1, math.prod(image.shape)))
    if rows >= image.shape[1]:
        yield image
        return
    for row in range(0, image.shape[1], rows):
        yield image.with_data(image.data[:, row : row + rows])


def _some(pixels: NumpyArray, count: int) -> NumpyArray:
    """Evenly spaced pixels (C, N), so many that all images together stay small."""
    flat = pixels.reshape(pixels.shape[0], -1)
    most = max(1000, MOST_PIXELS * 20 // count)
    return flat[:, :: max(1, flat.shape[1] // most)].astype(np.float32)


def _ranges(samples: Sequence[NumpyArray]) -> tuple[tuple[float, float], ...]:
    if len({sample.shape[0] for sample in samples}) != 1:
        return ()  # none were asked for, or training will name the file that differs
    low, high = np.percentile(np.concatenate(samples, axis=1), PERCENTILES, axis=1)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))
