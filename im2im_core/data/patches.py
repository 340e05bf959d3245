"""Training patches: which image, where, and how it is changed, all decided by (seed, epoch, number of the visit)."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from monai.data import get_track_meta, set_track_meta
from monai.transforms import RandCropByPosNegLabeld, RandSpatialCropd, SpatialPad, Transform

from im2im_core.data.samples import BACKGROUND, FOREGROUND, plain_tensor
from im2im_core.errors import DataError, Im2imError
from im2im_core.interfaces import Sample

log = logging.getLogger(__name__)
KEYS = ("image", "target", "costmap")
CROP_KEYS = {"keys": KEYS, "allow_missing_keys": True}


@dataclass(frozen=True, slots=True)
class Visit:
    """One patch to make. It travels to worker processes in place of an index, so they need no state of their own."""

    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way from a worker process, where raising it would bury its message in a traceback."""

    message: str
    hint: str


class SizedSamples(Protocol):
    """Loaded samples by index."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """How patches are taken.

    Attributes:
        size: pixels per spatial axis; None: whole images.
        per_image: patches of each image in an epoch.
        foreground_fraction: share of patches centred on foreground; None: anywhere with equal probability.
    """

    size: tuple[int, ...] | None
    per_image: int
    foreground_fraction: float | None = None


class PatchDataset(torch.utils.data.Dataset[Any]):
    """`dataset[Visit]` is one augmented patch: image, target and, if any, costmap, as plain tensors.

    An image smaller than the patch is continued by reflection. What is added has target 0 and cost map 0, so it never
    counts, also where the data set has no cost maps.

    Args:
        samples: what patches are cut from.
        augmentation: from one patch to the next, random.
        settings: how many patches of which size.
        seed: decides, with the number of a visit, on everything.
        cut: makes a sample of the size of a patch, or smaller, of one of `samples`; None: they are samples themselves.
    """

    def __init__(
        self,
        samples: SizedSamples,
        augmentation: Callable[[Sample], Sample],
        settings: PatchSettings,
        seed: int,
        cut: Callable[[Any, np.random.RandomState], Sample] | None = None,
    ) -> None:
        self.samples = samples
        self.augmentation = augmentation
        self.settings = settings
        self.seed = seed
        self._state = np.random.RandomState(0)
        self._crop = cropper(settings)
        self._cut = cut or self._cropped

    def __len__(self) -> int:
        return len(self.samples) * self.settings.per_image

    def __getitem__(self, visit: Visit | int) -> Sample | Failure:
        if isinstance(visit, int):
            visit = Visit(0, visit)
        try:
            with seeded(self._state, (self.seed, visit.epoch, visit.number), self.augmentation):
                return self._patch(self.samples[visit.number // self.settings.per_image])
        except Exception as error:
            return failure(error)

    def _patch(self, source: Any) -> Sample:
        sample = self._cut(source, self._state)
        types = {key: sample[key].dtype for key in KEYS if key in sample}
        sample = augmented(sample, self.augmentation)
        return {key: as_type(plain_tensor(value), types.get(key)) for key, value in sample.items()}

    def _cropped(self, source: Any, state: np.random.RandomState) -> Sample:
        sample: Sample = dict(source)
        if self._crop is None or self.settings.size is None:
            return sample
        self._crop.set_random_state(state=state)
        cropped = self._crop(pad_to(sample, self.settings.size))
        patch: Sample = cropped[0] if isinstance(cropped, list) else cropped
        return patch


class WholeDataset(torch.utils.data.Dataset[Any]):
    """`dataset[i]` is a whole validation image without augmentation; axes longer than `most` keep their centre."""

    def __init__(self, samples: SizedSamples, most: tuple[int, ...] | None) -> None:
        self.samples = samples
        self.most = most

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample | Failure:
        try:
            sample = self.samples[index]
            return {key: centre(sample[key], self.most) for key in KEYS if key in sample}
        except Exception as error:
            return failure(error)


def augmented(sample: Sample, augmentation: Callable[[Sample], Sample]) -> Sample:
    """What an augmentation makes of a sample, which stays as it is.

    Raises:
        DataError: the augmentation failed.
    """
    # The cache must not be changed by an augmentation that works in place.
    sample = {key: sample[key].as_subclass(torch.Tensor).clone() for key in KEYS if key in sample}
    try:
        sample = augmentation(sample)
    except Im2imError:
        raise
    except Exception as error:
        log.debug("augmentation failed", exc_info=True)
        raise DataError(
            f"an augmentation failed: {type(error).__name__}: {error}", "check the settings under augmentation"
        ) from error
    return {key: sample[key] for key in KEYS if key in sample}


def centre(array: torch.Tensor, most: Sequence[int] | None) -> torch.Tensor:
    """The central pixels of axes that are longer than `most`; (C, [Z,] Y, X)."""
    region: tuple[slice, ...] = (slice(None),)
    for length, limit in zip(array.shape[1:], most or (), strict=False):
        start = max(0, (length - limit) // 2)
        region += (slice(start, start + limit),)
    return array[region].contiguous()


def failure(error: Exception) -> Failure:
    """What a user is told; MONAI wraps errors of transforms, so the cause is looked for. Others are raised again."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Im2imError):
            return Failure(cause.message, cause.hint)
        cause = cause.__cause__
    raise error


def pad_to(sample: Sample, size: tuple[int, ...]) -> Sample:
    """Continue a sample by reflection where it is smaller than `size`; the new pixels have target 0 and cost map 0."""
    shape = sample["image"].shape[1:]
    if all(length >= wanted for length, wanted in zip(shape, size, strict=True)):
        return sample
    # 'symmetric', since 'reflect' cannot add more than the image has.
    reflect = SpatialPad(size, mode="symmetric")
    zeros = SpatialPad(size, mode="constant", value=0)
    costmap = sample.get("costmap", torch.ones((1, *shape)))
    return {"image": reflect(sample["image"]), "target": zeros(sample["target"]), "costmap": zeros(costmap)}


@contextmanager
def seeded(state: np.random.RandomState, seed: tuple[int, ...], augmentation: Any) -> Iterator[None]:
    """Everything random inside depends on `seed` only, and nothing random outside is disturbed."""
    numbers = np.random.SeedSequence(seed).generate_state(2)
    state.seed(int(numbers[0]))
    before = torch.get_rng_state()
    track_meta = get_track_meta()
    set_track_meta(False)
    # The generator itself, since torch.manual_seed costs a hundred times more.
    torch.default_generator.manual_seed(int(numbers[1]))
    try:
        if give_state(augmentation, state):
            yield
        else:
            with _seeded_globals(int(numbers[0])):
                yield
    finally:
        set_track_meta(track_meta)
        torch.set_rng_state(before)


def give_state(step: Any, state: np.random.RandomState) -> bool:
    """Hand the random state to MONAI's transforms; False when some step takes none and may use global generators."""
    if hasattr(step, "set_random_state"):
        step.set_random_state(state=state)
        return True
    if isinstance(step, Transform):
        return True  # one of MONAI's that draws nothing
    taken = [give_state(inner, state) for inner in getattr(step, "steps", ())]
    return bool(taken) and all(taken)


@contextmanager
def _seeded_globals(seed: int) -> Iterator[None]:
    numpy_state, python_state = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def cropper(settings: PatchSettings) -> Any:
    """MONAI's transform that cuts out a patch, of all parts of a sample at one place; None for whole images."""
    if settings.size is None:
        return None
    if settings.foreground_fraction is None:
        return RandSpatialCropd(roi_size=settings.size, random_size=False, **CROP_KEYS)
    return RandCropByPosNegLabeld(
        label_key="target",
        spatial_size=settings.size,
        pos=settings.foreground_fraction,
        neg=1 - settings.foreground_fraction,
        fg_indices_key=FOREGROUND,
        bg_indices_key=BACKGROUND,
        **CROP_KEYS,
    )


def as_type(value: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    """Back to the type before augmentation, which resamples in floating point."""
    if dtype is None or value.dtype == dtype:
        return value
    return value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)
