"""One subject from its files to a dict of plain tensors: read, checked, preprocessed. This is what caches keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from im2im_core.data.pairs import check_not_empty, check_pair, open_image, open_target, read_pixels
from im2im_core.errors import DataError, Im2imError
from im2im_core.image import Image
from im2im_core.interfaces import DataFacts, NumpyArray, ReadImage, Sample
from im2im_core.layouts import Subject

FOREGROUND = "foreground_indices"
BACKGROUND = "background_indices"
MOST_INDICES = 10_000


class LoadSample(Transform):  # type: ignore[misc]
    """From `{"subject": Subject}` to float32 image, target (float32 or whole numbers) and, if any, float32 costmap.

    Args:
        load: opens files.
        preprocessing: from one sample dict to the next.
        facts: channels and dimensions that every subject must have.
        indices: also keep where foreground and background lie, for sampling patches.
    """

    def __init__(
        self, load: ReadImage, preprocessing: Callable[[Sample], Sample], facts: DataFacts, *, indices: bool
    ) -> None:
        self.load = load
        self.preprocessing = preprocessing
        self.facts = facts
        self.indices = indices

    def __call__(self, data: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Read, check, preprocess.

        Raises:
            DataError: with the name of the file that is at fault.
        """
        subject: Subject = data["subject"]
        result = preprocessed(self._read(subject), self.preprocessing, subject.image)
        if self.indices:
            result |= _indices(result["target"])
        return result

    def _read(self, subject: Subject) -> Sample:
        dims = self.facts.spatial_dims
        image = open_image(self.load, subject.image, dims, subject.channels)
        target, target_path = open_target(self.load, subject, image), subject.target or subject.image
        costmap = open_image(self.load, subject.costmap, dims) if subject.costmap else None
        check_pair(subject, image, target, costmap)
        check_channels(subject.image, image, self.facts.in_channels)
        check_channels(target_path, target, self.facts.target_channels)
        sample: Sample = {
            "image": read_pixels(image, subject.image).astype(np.float32),
            "target": as_target(read_pixels(target, target_path)),
        }
        if costmap is not None and subject.costmap:
            sample["costmap"] = read_pixels(costmap, subject.costmap).astype(np.float32)
        return sample


class LoadSide(Transform):  # type: ignore[misc]
    """As `LoadSample`, for files that are no pairs: from `{"subject": Subject}` to a sample of the image or the target.

    Args:
        key: "image" or "target": what the subject's file is.
        load: opens files.
        preprocessing: from one sample dict to the next; it is given a sample with this key only.
        facts: channels and dimensions that every file must have.
    """

    def __init__(self, key: str, load: ReadImage, preprocessing: Callable[[Sample], Sample], facts: DataFacts) -> None:
        self.key = key
        self.load = load
        self.preprocessing = preprocessing
        self.facts = facts

    def __call__(self, data: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Read, check, preprocess.

        Raises:
            DataError: with the name of the file that is at fault.
        """
        subject: Subject = data["subject"]
        path = subject.image
        image = open_image(self.load, path, self.facts.spatial_dims, subject.channels)
        is_image = self.key == "image"
        check_channels(path, image, self.facts.in_channels if is_image else self.facts.target_channels)
        check_not_empty(path, image)
        pixels = read_pixels(image, path)
        sample: Sample = {self.key: pixels.astype(np.float32) if is_image else as_target(pixels)}
        try:
            return {self.key: preprocessed(sample, self.preprocessing, path)[self.key]}
        except KeyError as error:
            raise DataError(
                f"a step of the preprocessing finds no '{error.args[0]}' in a sample that holds the {self.key} alone",
                "without pairs only steps that pass over what is not there can serve; take it out of preprocessing",
            ) from error


def check_channels(path: Path, image: Image, expected: int) -> None:
    """Whether an image has the channels of the data set.

    Raises:
        DataError: it has others.
    """
    if image.shape[0] != expected:
        raise DataError(
            f"'{path}' has {image.shape[0]} channel(s), the first one of the data set {expected}",
            "all images of a data set need the same channels",
        )


def preprocessed(sample: Sample, preprocessing: Callable[[Sample], Sample], path: Path) -> dict[str, torch.Tensor]:
    """Plain tensors of a preprocessed sample, its image float32.

    Args:
        sample: arrays.
        preprocessing: from one sample dict to the next.
        path: the file that an error is about.

    Raises:
        DataError: the pixels cannot be preprocessed.
    """
    try:
        sample = preprocessing(sample)
    except Im2imError as error:
        raise DataError(f"'{path}': {error.message}", error.hint) from error
    result = {key: plain_tensor(value) for key, value in sample.items()}
    if "image" in result:
        result["image"] = result["image"].float()
    return result


def plain_tensor(value: Any) -> torch.Tensor:
    """A plain tensor: no metadata of MONAI's, which slows everything down and is not for the model."""
    if isinstance(value, torch.Tensor):
        return value.as_subclass(torch.Tensor).contiguous()
    return torch.from_numpy(np.ascontiguousarray(value))


def as_target(pixels: NumpyArray) -> NumpyArray:
    """Whole numbers as int32, or int64 where they need it; others as float32."""
    if pixels.dtype.kind not in "iub":
        return pixels.astype(np.float32)
    fits = pixels.dtype.itemsize < 4 or not pixels.size or (pixels.max() < 2**31 and pixels.min() >= -(2**31))
    return pixels.astype(np.int32 if fits else np.int64)


def _indices(target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Flat positions inside and outside of objects, thinned out evenly so that large images cost no more."""
    inside = (target > 0).any(dim=0).flatten()
    result = {}
    for key, mask in ((FOREGROUND, inside), (BACKGROUND, ~inside)):
        positions = mask.nonzero().flatten()
        result[key] = positions[:: max(1, len(positions) // MOST_INDICES)].contiguous()
    return result
