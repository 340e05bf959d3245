"""Regions of an image, read and preprocessed as parts of the whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from im2im_core.errors import DataError, Im2imError
from im2im_core.extents import Region, within
from im2im_core.image import Image
from im2im_core.interfaces import Sample

NumpyArray = np.ndarray[Any, Any]
Step = Callable[[Sample], Sample]
# Pixels around a region that a step of preprocessing sees too, unless it says of itself how many it needs.
CONTEXT = 64
FIT_PIXELS = 2048 * 2048


def prepared(source: Image, region: Region, steps: Sequence[Step]) -> NumpyArray:
    """Preprocessed pixels (C, [Z], Y, X) of a region, seen with some context around it."""
    shape = source.shape[1:]
    context = context_of(steps)
    around = tuple(
        slice(max(0, p.start - context), min(n, p.stop + context)) for p, n in zip(region, shape, strict=True)
    )
    data = read_region(source, around)
    if not np.isfinite(data).all():
        raise DataError("the image holds NaN or infinite pixels", "replace them before prediction")
    sample: dict[str, Any] = {"image": data}
    for step in steps:
        sample = step(sample)
    prepared: NumpyArray = np.asarray(sample["image"], np.float32)[(slice(None), *within(region, around))]
    return prepared


def context_of(steps: Sequence[Step]) -> int:
    """Pixels around a region that some steps look at, one after the other."""
    return sum(getattr(step, "context", CONTEXT) for step in steps)


def read_region(source: Image, region: Region) -> NumpyArray:
    """Decode a region. Only now does a lazy reader find out that its file is damaged further in."""
    try:
        # An array may not know how to become another type by itself, and what is float32 already is not copied.
        return np.asarray(source.data[(slice(None), *region)]).astype(np.float32, copy=False)
    except Im2imError:
        raise
    except Exception as error:
        raise DataError(
            f"the pixels cannot be read: {type(error).__name__}: {error}", "check that the file is complete"
        ) from error


def fit_steps(steps: Sequence[Step], source: Image) -> list[Step]:
    """Preprocessing with the statistics of the whole image, so that every window is treated alike.

    A later step sees what the earlier ones make of the image; for that some pixels of a large image have to do.

    Args:
        steps: preprocessing in its order; a step with statistics has `fit(image) -> step`.
        source: the image, channels first.
    """
    fitted: list[Step] = []
    for step in steps:
        if hasattr(step, "fit"):
            step = step.fit(_some_pixels(source, fitted) if fitted else source)
        fitted.append(step)
    return fitted


def _some_pixels(source: Image, steps: Sequence[Step]) -> Image:
    """At most about FIT_PIXELS evenly spaced pixels of the image after some steps."""
    stride = max(1, math.ceil((math.prod(source.shape[1:]) / FIT_PIXELS) ** (1 / (len(source.shape) - 1))))
    thinned = (slice(None), *[slice(None, None, min(stride, n)) for n in source.shape[1:]])
    sample: dict[str, Any] = {"image": np.asarray(source.data[thinned]).astype(np.float32)}
    for step in steps:
        sample = step(sample)
    return source.with_data(np.asarray(sample["image"]))
