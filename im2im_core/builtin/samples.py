"""One subject from its files to a dict of plain tensors: read, checked, preprocessed. This is what caches keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from im2im_core.builtin.pairs import check_pair, open_image, read_pixels
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
        sample = self._read(subject)
        try:
            sample = self.preprocessing(sample)
        except Im2imError as error:
            raise DataError(f"'{subject.image}': {error.message}", error.hint) from error
        result = {key: plain_tensor(value) for key, value in sample.items()}
        result["image"] = result["image"].float()
        if self.indices:
            result |= _indices(result["target"])
        return result

    def _read(self, subject: Subject) -> Sample:
        assert subject.target is not None
        dims = self.facts.spatial_dims
        image = open_image(self.load, subject.image, dims)
        target = open_image(self.load, subject.target, dims)
        costmap = open_image(self.load, subject.costmap, dims) if subject.costmap else None
        check_pair(subject, image, target, costmap)
        self._check_channels(subject, image, target)
        sample: Sample = {
            "image": read_pixels(image, subject.image).astype(np.float32),
            "target": _target(read_pixels(target, subject.target)),
        }
        if costmap is not None and subject.costmap:
            sample["costmap"] = read_pixels(costmap, subject.costmap).astype(np.float32)
        return sample

    def _check_channels(self, subject: Subject, image: Image, target: Image) -> None:
        for path, found, expected in (
            (subject.image, image.shape[0], self.facts.in_channels),
            (subject.target, target.shape[0], self.facts.target_channels),
        ):
            if found != expected:
                raise DataError(
                    f"'{path}' has {found} channel(s), the first one of the data set {expected}",
                    "all images of a data set need the same channels",
                )


def plain_tensor(value: Any) -> torch.Tensor:
    """A plain tensor: no metadata of MONAI's, which slows everything down and is not for the model."""
    if isinstance(value, torch.Tensor):
        return value.as_subclass(torch.Tensor).contiguous()
    return torch.from_numpy(np.ascontiguousarray(value))


def _target(pixels: NumpyArray) -> NumpyArray:
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
