"""From one image with labels to a crop around each object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from monai.transforms import Transform
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from im2im_core import Sample
from im2im_core.data.patches import pad_to
from im2im_embedseg.boxes import boxed_objects
from im2im_embedseg.centers import Method, center_of
from im2im_embedseg.measuring import measure

Array: TypeAlias = NDArray[Any]
CENTERS = "centers"


@dataclass(frozen=True, slots=True)
class Objects:
    """The K objects of an image.

    Attributes:
        label: (K,) int64, rising.
        size: (K,) int64, pixels.
        length: (K, D) int64, of the bounding box.
        center: (K, D) int64, the pixel that is the centre, [Z], Y, X.
    """

    label: NDArray[np.int64]
    size: NDArray[np.int64]
    length: NDArray[np.int64]
    center: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)


def list_objects(labels: Array, method: Method, anisotropy: float = 1.0, costmap: Array | None = None) -> Objects:
    """List the objects with their centres.

    Args:
        labels: ([Z], Y, X) integers; objects are above 0.
        method: the centre of an object.
        anisotropy: distance of neighbours in Z over that in Y and X.
        costmap: ([Z], Y, X); pixels of 0 belong to no object, as in the loss.
    """
    if method != "medoid":
        found = measure(labels, method, anisotropy, costmap)
        return Objects(found.label, found.size, found.length, np.rint(found.center).astype(np.int64))
    counted = np.where((labels > 0) if costmap is None else (labels > 0) & (costmap > 0), labels, 0)
    rows = []
    for one in boxed_objects(counted):
        center = np.rint(center_of(one.pixels, method, anisotropy)).astype(np.int64)
        rows.append((one.label, len(one.pixels), [part.stop - part.start for part in one.box], center))
    if not rows:
        return Objects(*(np.zeros((0, *rest), np.int64) for rest in ((), (), (labels.ndim,), (labels.ndim,))))
    return Objects(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))


def crop_starts(center: Array, shape: Sequence[int], size: Sequence[int]) -> NDArray[np.int64]:
    """First pixels (K, D) of crops around centres (K, D), moved where they would leave the image."""
    most = np.array(shape) - np.array(size)
    starts: NDArray[np.int64] = np.clip(np.rint(center).astype(np.int64) - np.array(size) // 2, 0, most)
    return starts


def window(start: Any, size: Sequence[int]) -> tuple[Any, ...]:
    """A crop as an index of the last axes."""
    return (..., *(slice(int(a), int(a) + n) for a, n in zip(start, size, strict=True)))


def marked(center: Array, start: Any, size: Sequence[int]) -> NDArray[np.uint8]:
    """The centre image of a crop: 1 at those of the centres (K, D) that lie in it."""
    marks = np.zeros(tuple(size), np.uint8)
    place = center - np.asarray(start)
    inside = ((place >= 0) & (place < np.array(size))).all(axis=1)
    marks[tuple(place[inside].T)] = 1
    return marks


def padded(sample: Sample, size: Sequence[int]) -> Sample:
    """A sample of numpy arrays at least as large as a crop; what is added does not count."""
    tensors = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in sample.items()}
    return {key: np.asarray(value) for key, value in pad_to(tensors, tuple(size)).items()}


def make_crops(sample: Sample, objects: Objects, part: slice, size: Sequence[int]) -> dict[str, Array]:
    """Crops around some of the objects, N in number.

    Args:
        sample: image (C, [Z], Y, X), target (1, [Z], Y, X) and, if any, costmap, none smaller than the crops.
        objects: of this sample.
        part: which of the objects.
        size: of the crops, [Z], Y, X.

    Returns:
        image (N, C, ...) and, where there is one, costmap (N, C, ...); labels, centers and classes (N, ...), the last
        1 in objects and 0 outside; label and start of each crop.
    """
    target = smallest(sample["target"][0])
    marks = np.zeros(target.shape, np.uint8)
    marks[tuple(objects.center.T)] = 1
    sources: dict[str, Array] = {"image": sample["image"], "labels": target, "centers": marks}
    if "costmap" in sample:
        sources["costmap"] = sample["costmap"]
    starts = crop_starts(objects.center[part], target.shape, size)
    crops: dict[str, Array] = {"label": objects.label[part], "start": starts}
    for key, source in sources.items():
        # All windows of the source, of which those are copied that begin at the starts; channels come after these.
        windows = sliding_window_view(source, tuple(size), axis=tuple(range(-len(size), 0)))
        if source.ndim > len(size):
            windows = np.moveaxis(windows, 0, len(size))
        crops[key] = np.ascontiguousarray(windows[tuple(starts.T)])
    crops["classes"] = (crops["labels"] > 0).view(np.uint8)
    return crops


def smallest(labels: Array) -> Array:
    """Labels as uint16 where they fit, which halves the disk space."""
    fits = not labels.size or (labels.min() >= 0 and labels.max() < 2**16)
    return labels.astype(np.uint16) if fits else labels


class LoadWithCenters(Transform):  # type: ignore[misc]
    """Adds to a loaded sample the centres of its objects (K, D), as int64.

    Args:
        load: from an item of a cache to a sample.
        method: the centre of an object.
        anisotropy: distance of neighbours in Z over that in Y and X.
    """

    def __init__(self, load: Callable[[Mapping[str, Any]], dict[str, Any]], method: Method, anisotropy: float) -> None:
        self.load = load
        self.method = method
        self.anisotropy = anisotropy

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Load and list the objects."""
        sample = self.load(data)
        costmap = sample["costmap"][0].numpy() if "costmap" in sample else None
        objects = list_objects(sample["target"][0].numpy(), self.method, self.anisotropy, costmap)
        return {**sample, CENTERS: torch.from_numpy(objects.center)}
