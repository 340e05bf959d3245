"""Training from images larger than memory: of each patch only its own pixels are read, every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from im2im_core.data.pairs import check_pair, open_image, open_target
from im2im_core.data.patches import pad_to
from im2im_core.data.samples import as_target, check_channels, plain_tensor
from im2im_core.errors import DataError, Im2imError
from im2im_core.extents import Region
from im2im_core.image import Image
from im2im_core.interfaces import DataFacts, NumpyArray, ReadImage, Sample
from im2im_core.layouts import Subject
from im2im_core.regions import Step, fit_steps, prepared

# Files that a process keeps open, and places that are tried for foreground.
MOST_OPEN = 32
TRIES = 10


@dataclass(frozen=True, slots=True)
class _Opened:
    """Files of a subject, and preprocessing with the statistics of its whole image."""

    subject: Subject
    image: Image
    target: Image
    costmap: Image | None
    steps: Sequence[Step]

    def read(self, region: Region) -> Sample:
        """Preprocessed arrays of a region (C, [Z,] Y, X)."""
        subject = self.subject
        try:
            image = prepared(self.image, region, self.steps)
        except Im2imError as error:
            raise DataError(f"'{subject.image}': {error.message}", error.hint) from error
        sample: Sample = {"image": image, "target": self.read_target(region)}
        if self.costmap is not None:
            sample["costmap"] = _pixels(self.costmap, region, subject.costmap).astype(np.float32)
        return sample

    def read_target(self, region: Region) -> NumpyArray:
        return as_target(_pixels(self.target, region, self.subject.target))


class LazySubjects:
    """Subjects whose files are opened when they are first needed.

    Args:
        subjects: what is read from.
        load: opens files.
        steps: preprocessing, of images alone.
        facts: channels and dimensions that every subject must have.

    Raises:
        DataError: a step of the preprocessing changes targets or cost maps.
    """

    def __init__(self, subjects: Sequence[Subject], load: ReadImage, steps: Sequence[Step], facts: DataFacts) -> None:
        for step in steps:
            others = [key for key in getattr(step, "keys", ("image",)) if key != "image"]
            if others:
                raise DataError(
                    f"a step of the preprocessing changes '{others[0]}', which 'cache: lazy' reads as it is",
                    "set dataset.cache=persistent, or leave targets alone under preprocessing",
                )
        self._subjects, self._load, self._steps, self._facts = list(subjects), load, list(steps), facts
        self._opened: dict[int, _Opened] = {}

    def __len__(self) -> int:
        return len(self._subjects)

    def __getitem__(self, index: int) -> _Opened:
        if index not in self._opened:
            while len(self._opened) >= MOST_OPEN:
                del self._opened[next(iter(self._opened))]
            self._opened[index] = self._open(self._subjects[index])
        return self._opened[index]

    def _open(self, subject: Subject) -> _Opened:
        dims = self._facts.spatial_dims
        image = open_image(self._load, subject.image, dims, subject.channels)
        target = open_target(self._load, subject, image)
        costmap = open_image(self._load, subject.costmap, dims) if subject.costmap else None
        check_pair(subject, image, target, costmap)
        check_channels(subject.image, image, self._facts.in_channels)
        check_channels(subject.target or subject.image, target, self._facts.target_channels)
        try:
            steps = fit_steps(self._steps, image)
        except Im2imError as error:
            raise DataError(f"'{subject.image}': {error.message}", error.hint) from error
        return _Opened(subject, image, target, costmap, steps)


class LazyCut:
    """Reads a patch of a subject; what `PatchDataset` takes as `cut`.

    Patches lie anywhere with equal probability. With a foreground fraction, that share of them is centred on a
    foreground pixel of a place at random; places are tried until one has foreground, ten at most.

    Args:
        size: of a patch, [Z], Y, X.
        foreground_fraction: None: anywhere.
    """

    def __init__(self, size: tuple[int, ...], foreground_fraction: float | None) -> None:
        self._size, self._fraction = size, foreground_fraction

    def __call__(self, opened: _Opened, state: np.random.RandomState) -> Sample:
        """Plain tensors of the size of a patch."""
        region = self._place(opened, state)
        return pad_to({key: plain_tensor(value) for key, value in opened.read(region).items()}, self._size)

    def _place(self, opened: _Opened, state: np.random.RandomState) -> Region:
        shape = opened.image.shape[1:]
        region = self._anywhere(shape, state)
        if self._fraction is None or state.random_sample() >= self._fraction:
            return region
        for _ in range(TRIES):
            found = np.argwhere((opened.read_target(region) > 0).any(axis=0))
            if len(found):
                middle = found[state.randint(len(found))]
                starts = [part.start + int(m) - w // 2 for part, m, w in zip(region, middle, self._size, strict=True)]
                return self._region(starts, shape)
            region = self._anywhere(shape, state)
        return region

    def _anywhere(self, shape: Sequence[int], state: np.random.RandomState) -> Region:
        pairs = zip(shape, self._size, strict=True)
        return self._region([state.randint(max(0, n - w) + 1) for n, w in pairs], shape)

    def _region(self, starts: Sequence[int], shape: Sequence[int]) -> Region:
        """A patch that lies inside the image, or all of an axis that is shorter."""
        inside = [max(0, min(s, n - w)) for s, n, w in zip(starts, shape, self._size, strict=True)]
        return tuple(slice(s, min(s + w, n)) for s, w, n in zip(inside, self._size, shape, strict=True))


class LazyCentres:
    """Samples of validation images, for `WholeDataset`; of axes longer than `most` only the centre is read."""

    def __init__(self, subjects: LazySubjects, most: tuple[int, ...] | None) -> None:
        self.subjects, self.most = subjects, most

    def __len__(self) -> int:
        return len(self.subjects)

    def __getitem__(self, index: int) -> Sample:
        opened = self.subjects[index]
        shape = opened.image.shape[1:]
        sizes = [min(n, most) for n, most in zip(shape, self.most or shape, strict=True)]
        starts = [(n - size) // 2 for n, size in zip(shape, sizes, strict=True)]
        region = tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
        return {key: plain_tensor(value) for key, value in opened.read(region).items()}


def has_object(subjects: LazySubjects) -> bool:
    """Whether a target has foreground: of each, rows spread evenly over the image are looked at."""
    for index in range(len(subjects)):
        opened = subjects[index]
        length = opened.target.shape[1]
        for row in range(0, length, max(1, length // 64)):
            region = (slice(row, row + 1), *(slice(0, n) for n in opened.target.shape[2:]))
            if (opened.read_target(region) > 0).any():
                return True
    return False


def _pixels(image: Image, region: Region, path: Any) -> NumpyArray:
    try:
        pixels = np.asarray(image.data[(slice(None), *region)])
    except Exception as error:  # decoders raise whatever they like
        raise DataError(f"cannot read '{path}': {type(error).__name__}: {error}", "copy the file again") from error
    if pixels.dtype.kind in "fc" and not np.isfinite(pixels).all():
        raise DataError(f"'{path}' holds NaN or infinite values", "replace them; a cost map of 0 makes them not count")
    return pixels
