"""What the pixels of a paired data set are, for settings that are planned from them. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from im2im_core.builtin.dataset_config import PairedConfig
from im2im_core.builtin.pairs import open_image, read_pixels, split_subjects
from im2im_core.interfaces import DataSurvey, NumpyArray, ReadImage

MOST_PIXELS = 200_000
MOST_CLASSES = 1000
PERCENTILES = (1.0, 99.8)


def survey_paired(config: PairedConfig, load: ReadImage, *, images: bool = False) -> DataSurvey:
    """Shapes, intensities and classes of all pairs. Every target is read whole: a rare class must not be missed.

    Args:
        config: settings of `paired`.
        load: opens a file.
        images: read the pixels of the images too; of their headers alone the range of intensities stays unknown.

    Raises:
        DataError: a file cannot be read.
    """
    train, val = split_subjects(config, seed=0)
    subjects = sorted([*train, *val], key=lambda subject: subject.stem)
    shapes, intensities, targets = [], [], []
    classes: set[int] = set()
    inside = total = 0
    whole = True
    pixel_size: dict[str, float] = {}
    for subject in subjects:
        assert subject.target is not None  # the listing saw to it
        image = open_image(load, subject.image, config.spatial_dims)
        dims = len(image.axes) - 1
        pixel_size = pixel_size or dict(image.pixel_size)
        shapes.append(image.shape[1:])
        if images:
            intensities.append(_some(read_pixels(image, subject.image), len(subjects)))
        target = read_pixels(open_image(load, subject.target, dims), subject.target)
        targets.append(_some(target, len(subjects)))
        whole = whole and target.dtype.kind in "iub"
        if whole and len(classes) <= MOST_CLASSES:
            classes.update(np.unique(target).tolist())
        inside += int(np.count_nonzero(target > 0))
        total += target.size
    return DataSurvey(
        shapes=tuple(shapes),
        pixel_size=pixel_size,
        image_range=_ranges(intensities),
        target_range=_ranges(targets),
        classes=tuple(sorted(int(number) for number in classes)[:MOST_CLASSES]) if whole else (),
        foreground=inside / total if total else 0.0,
    )


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
