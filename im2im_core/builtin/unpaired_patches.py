"""Patches of images and of targets that are no pairs: who meets whom, where, and how both are changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import SpatialPad

from im2im_core.data.patches import (
    Failure,
    PatchSettings,
    SizedSamples,
    Visit,
    as_type,
    augmented,
    centre,
    cropper,
    failure,
    seeded,
)
from im2im_core.data.samples import plain_tensor
from im2im_core.interfaces import Sample

# Added to (seed, epoch, number), so that what is drawn for one purpose says nothing about another.
PARTNER, TARGET = 1, 2


class UnpairedPatches(torch.utils.data.Dataset[Any]):
    """`dataset[Visit]` is an augmented patch of an image and one of a target, as plain tensors.

    Each visit takes the next patch of the larger side, and a partner from the smaller one, which is dealt out like a
    shuffled pack of cards, again and again: in an epoch all partners serve equally often, give or take one. Pairing,
    both crops and both augmentations depend on (seed, epoch, number of the visit) and on nothing else. A side that is
    smaller than the patch is continued by reflection.

    Args:
        images: samples with an image.
        targets: samples with a target.
        augmentation: from one patch to the next; it is given image and target apart.
        settings: size and number of patches.
        seed: decides on everything random.
    """

    def __init__(
        self,
        images: SizedSamples,
        targets: SizedSamples,
        augmentation: Callable[[Sample], Sample],
        settings: PatchSettings,
        seed: int,
    ) -> None:
        self.images = images
        self.targets = targets
        self.augmentation = augmentation
        self.settings = settings
        self.seed = seed
        self._state = np.random.RandomState(0)
        self._crop = cropper(settings)
        self._pad = SpatialPad(settings.size, mode="symmetric") if settings.size else None

    def __len__(self) -> int:
        return max(len(self.images), len(self.targets)) * self.settings.per_image

    def __getitem__(self, visit: Visit | int) -> Sample | Failure:
        if isinstance(visit, int):
            visit = Visit(0, visit)
        image, target = self.indices(visit)
        seeds = (self.seed, visit.epoch, visit.number)
        try:
            return {
                "image": self._patch("image", self.images[image], seeds),
                "target": self._patch("target", self.targets[target], (*seeds, TARGET)),
            }
        except Exception as error:
            return failure(error)

    def indices(self, visit: Visit) -> tuple[int, int]:
        """Which image and which target meet."""
        own = visit.number // self.settings.per_image
        images, targets = len(self.images), len(self.targets)
        turn, place = divmod(visit.number, min(images, targets))
        dealt = np.random.default_rng((self.seed, visit.epoch, turn, PARTNER)).permutation(min(images, targets))
        partner = int(dealt[place])
        return (own, partner) if images >= targets else (partner, own)

    def _patch(self, key: str, loaded: Any, seeds: tuple[int, ...]) -> torch.Tensor:
        with seeded(self._state, seeds, self.augmentation):
            sample: Sample = {key: loaded[key]}
            if self._crop is not None and self._pad is not None:
                self._crop.set_random_state(state=self._state)
                sample = self._crop({key: self._pad(loaded[key])})
            return as_type(plain_tensor(augmented(sample, self.augmentation)[key]), loaded[key].dtype)


class UnpairedWholes(torch.utils.data.Dataset[Any]):
    """`dataset[i]` is a validation image and a target, cut to the central pixels that both have.

    Args:
        images: samples with an image.
        targets: samples with a target.
        pairs: which image is compared with which target.
        most: pixels per axis at most.
    """

    def __init__(
        self,
        images: SizedSamples,
        targets: SizedSamples,
        pairs: Sequence[tuple[int, int]],
        most: tuple[int, ...] | None,
    ) -> None:
        self.images = images
        self.targets = targets
        self.pairs = pairs
        self.most = most

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample | Failure:
        first, second = self.pairs[index]
        try:
            image, target = self.images[first]["image"], self.targets[second]["target"]
        except Exception as error:
            return failure(error)
        # Figures compare pixel by pixel, and would refuse two shapes.
        size = [min(lengths) for lengths in zip(image.shape[1:], target.shape[1:], strict=True)]
        image, target = (centre(centre(array, size), self.most) for array in (image, target))
        return {"image": image, "target": target}
