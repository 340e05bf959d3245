"""Training patches around objects: which object, where, and how it is changed, all by (seed, epoch, visit)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from im2im_core import Sample
from im2im_core.data.patches import Failure, Visit, as_type, augmented, failure, pad_to, seeded
from im2im_core.data.samples import plain_tensor
from im2im_embedseg.crop_cache import read_crop
from im2im_embedseg.crop_index import Shard
from im2im_embedseg.crop_making import CENTERS, crop_starts, marked, window

# Added to (seed, epoch, number), so that what is drawn for one purpose says nothing about another.
PACK, PLACE = 1, 2


class Rounds:
    """Which object a visit is to: objects are dealt out like a shuffled pack of cards, again and again.

    So all are visited equally often, give or take one, over all epochs and with any number of visits in each.

    Args:
        counts: objects of each image; with weighting "images" None where they are not known.
        per_image: visits in an epoch for each image; 0: as many as there are objects.
        weighting: one pack of all objects, or one for each image.
        seed: decides on the order.
    """

    def __init__(
        self, counts: Sequence[int | None], per_image: int, weighting: Literal["objects", "images"], seed: int
    ) -> None:
        self.counts = list(counts)
        self.weighting = weighting
        self.seed = seed
        total = sum(count or 0 for count in counts)
        self.per_image = per_image or -(-total // max(1, len(counts)))
        self.visits = self.per_image * len(counts) if per_image or weighting == "images" else total
        self._ends = np.cumsum([count or 0 for count in counts])
        self._packs: dict[int, tuple[int, Any]] = {}

    def find(self, visit: Visit) -> tuple[int, int | None]:
        """Image, and the object in it; None: the image has no object, or it is for `deal` to say."""
        if self.weighting == "objects":
            card = self._card(-1, visit.epoch * self.visits + visit.number, int(self._ends[-1]))
            image = int(np.searchsorted(self._ends, card, side="right"))
            return image, card - int(self._ends[image - 1] if image else 0)
        image = visit.number // self.per_image
        count = self.counts[image]
        return image, None if count is None else self.deal(visit, image, count)

    def deal(self, visit: Visit, image: int, count: int) -> int | None:
        """The object of an image with so many objects, of which each comes in turn; None: there is none."""
        position = visit.epoch * self.per_image + visit.number % self.per_image
        return self._card(image, position, count) if count else None

    def _card(self, pack: int, position: int, count: int) -> int:
        turn, place = divmod(position, count)
        if self._packs.get(pack, (-1, None))[0] != turn:
            order = np.random.default_rng((self.seed, turn, pack + 1, PACK)).permutation(count)
            self._packs[pack] = turn, order
        return int(self._packs[pack][1][place])


class Patches(Protocol):
    """Where patches come from: image, target, centers and, if any, costmap, of one visit; not augmented."""

    @property
    def rounds(self) -> Rounds:
        """Which objects are visited."""

    def take(self, visit: Visit, seed: int) -> Sample:
        """One patch."""


@dataclass(frozen=True, slots=True)
class CachedCrops:
    """One crop around each object, from files."""

    folder: Path
    shards: tuple[Shard, ...]
    rounds: Rounds

    def take(self, visit: Visit, seed: int) -> Sample:
        """The crop of the visit's object."""
        image, number = self.rounds.find(visit)
        assert number is not None  # only images with objects are among the shards
        return read_crop(self.folder, self.shards[image], number)


@dataclass(frozen=True, slots=True)
class CutPatches:
    """Patches cut from whole images that hold the centres of their objects.

    Attributes:
        samples: loaded images by number.
        rounds: which object a visit is to.
        size: of a patch.
        object_fraction: share of patches around an object.
        jitter: how far from the middle its centre may lie; 1: up to the border.
    """

    samples: Any
    rounds: Rounds
    size: tuple[int, ...]
    object_fraction: float
    jitter: float

    def take(self, visit: Visit, seed: int) -> Sample:
        """Cut a patch around the visit's object, or anywhere."""
        rng = np.random.default_rng((seed, visit.epoch, visit.number, PLACE))
        image, number = self.rounds.find(visit)
        around = rng.random() < self.object_fraction
        if not around and self.rounds.weighting == "objects":
            image = int(rng.integers(len(self.samples)))
        loaded = self.samples[image]
        centers = loaded[CENTERS].numpy()
        if around and self.rounds.weighting == "images":
            number = self.rounds.deal(visit, image, len(centers))
        sample: Sample = {key: loaded[key] for key in ("image", "target", "costmap") if key in loaded}
        added = np.maximum(np.array(self.size) - sample["image"].shape[1:], 0) // 2
        sample = pad_to(sample, self.size)
        shape = sample["image"].shape[1:]
        if around and number is not None:
            off = rng.uniform(-1, 1, len(shape)) * self.jitter * (np.array(self.size) - 1) / 2
            start = crop_starts(centers[number] + added + off, shape, self.size)
        else:
            start = rng.integers(0, np.array(shape, np.int64) - np.array(self.size, np.int64), endpoint=True)
        cut = {key: value[window(start, self.size)] for key, value in sample.items()}
        cut[CENTERS] = torch.from_numpy(marked(centers + added, start, self.size)[None])
        return cut


class InstancePatches(torch.utils.data.Dataset[Any]):
    """`dataset[Visit]` is one augmented patch: image, target, center_image and, if any, costmap, as plain tensors.

    The centre image is a second channel of the target while a patch is augmented, so that any augmentation moves the
    marks with their objects.
    """

    def __init__(self, patches: Patches, augmentation: Callable[[Sample], Sample], seed: int) -> None:
        self.patches = patches
        self.augmentation = augmentation
        self.seed = seed
        self._state = np.random.RandomState(0)

    def __len__(self) -> int:
        return self.patches.rounds.visits

    def __getitem__(self, visit: Visit | int) -> Sample | Failure:
        if isinstance(visit, int):
            visit = Visit(0, visit)
        try:
            sample = self.patches.take(visit, self.seed)
            centers = sample.pop(CENTERS).to(sample["target"].dtype)
            types = {key: value.dtype for key, value in sample.items()}
            sample["target"] = torch.cat([sample["target"], centers])
            with seeded(self._state, (self.seed, visit.epoch, visit.number), self.augmentation):
                sample = augmented(sample, self.augmentation)
        except Exception as error:
            return failure(error)
        result = {key: as_type(plain_tensor(value), types[key]) for key, value in sample.items()}
        target, marks = result["target"][:1].contiguous(), result["target"][1:]
        return {**result, "target": target, "center_image": one_mark_each(target, marks)}


def one_mark_each(target: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """The first mark in each object, as uint8: an enlarged patch has several of one."""
    flat = (marks.reshape(-1) != 0).nonzero()[:, 0].numpy()
    labels = target.reshape(-1)[flat].numpy()
    _, first = np.unique(labels, return_index=True)
    kept = first[labels[first] != 0]
    result = torch.zeros(marks.shape, dtype=torch.uint8)
    result.view(-1)[flat[kept]] = 1
    return result
