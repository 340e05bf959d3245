"""`paired`: image pairs on disk as batches of patches for training and whole images for validation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule

from im2im_core.builtin.dataset_config import PairedConfig
from im2im_core.data.caching import SmartCache, cached, make_items
from im2im_core.data.lazy import LazyCentres, LazyCut, LazySubjects, has_object
from im2im_core.data.loading import BatchLoader, make_loader, make_sampler
from im2im_core.data.pairs import check_size, facts_of, split_subjects
from im2im_core.data.patches import PatchDataset, PatchSettings, WholeDataset, failure
from im2im_core.data.samples import LoadSample
from im2im_core.errors import DataError
from im2im_core.interfaces import ReadImage, Sample
from im2im_core.layouts import Subject

log = logging.getLogger(__name__)
Step = Callable[[Sample], Sample]
NEEDS_OBJECTS = ("instance-segmentation",)


class PairedDataModule(LightningDataModule):  # type: ignore[misc]
    """Batches `{"image", "target"[, "costmap"]}` of plain tensors, (B, C, [Z,] Y, X).

    Args:
        config: settings of `paired`.
        load: opens an image file lazily.
        preprocessing: from one sample dict to the next, the same every time; its results are cached.
        augmentation: from one patch to the next, random.
        spatial_dims: 2 or 3.
        seed: decides on split, order, patches and augmentation.
        cache_dir: of the persistent cache where the settings name none.
        fingerprint: text that changes with the settings of preprocessing and reader, so that no stale cache is used.
        task: what the model is trained for; some need objects in the targets.

    Attributes:
        train_subjects: what is trained on.
        val_subjects: what is validated on, whole and one at a time.
        facts: channels and dimensions, from the first subject.

    Raises:
        DataError: nothing usable on disk, or the first pair does not fit together.
    """

    def __init__(
        self,
        config: PairedConfig,
        *,
        load: ReadImage,
        preprocessing: Step,
        augmentation: Step,
        spatial_dims: int,
        seed: int,
        cache_dir: Path | None = None,
        fingerprint: str = "",
        task: str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.task = task
        self.train_subjects, self.val_subjects = split_subjects(config, seed)
        everything = [*self.train_subjects, *self.val_subjects]
        self.facts = facts_of(everything, len(self.train_subjects), load, spatial_dims)
        self.patch_size, self.val_max_size = check_size(config, spatial_dims)
        self._load = load
        self._preprocessing = preprocessing
        self._augmentation = augmentation
        self._cache_dir = Path(config.cache_dir) if config.cache_dir else cache_dir
        self._fingerprint = fingerprint
        self._train: Any = None
        self._val: Any = None
        self._loaders: list[BatchLoader] = []

    def setup(self, stage: str | None = None) -> None:
        """Open the caches; with `cache: memory` this reads all images.

        Raises:
            DataError: an image cannot be used, or no target holds an object where the task needs objects.
        """
        if self._train is not None:
            return
        if self.config.cache == "lazy":
            self._open_lazily()
            return
        sampled = self.patch_size is not None and self.config.sampling == "foreground"
        try:
            train = self._cached(self.train_subjects, self.config.cache, indices=sampled)
            # Validation wants the same images every time, which a changing part of them is not.
            kind = "memory" if self.config.cache == "smart" else self.config.cache
            self._val = self._cached(self.val_subjects, kind, indices=False)
            if self.task in NEEDS_OBJECTS:
                self._check_objects(train)
        except Exception as error:
            told = failure(error)
            raise DataError(told.message, told.hint) from error
        self._train = train

    def train_dataloader(self) -> BatchLoader:
        """Patches of all images in an order that depends on the seed and the epoch only."""
        self.setup()
        whole = self.patch_size is None
        foreground = self.config.foreground_fraction if self.config.sampling == "foreground" and not whole else None
        settings = PatchSettings(self.patch_size, 1 if whole else self.config.patches_per_image, foreground)
        cut = None
        if isinstance(self._train, LazySubjects):
            assert self.patch_size is not None  # the settings saw to it
            cut = LazyCut(self.patch_size, foreground)
        patches = PatchDataset(self._train, self._augmentation, settings, self.seed, cut)
        sampler = make_sampler(len(patches), self.seed, self.trainer)
        smart = isinstance(self._train, SmartCache)
        # Workers are copies of this process: with a cache that changes they must be made anew.
        loader = self._loader(patches, self.train_subjects, self.config.batch_size, not smart, sampler=sampler)
        if smart:
            loader.before_epoch = self._train.set_epoch
        return loader

    def val_dataloader(self) -> BatchLoader | list[Any]:
        """Whole images one by one; an empty list when there are none."""
        self.setup()
        if not self.val_subjects:
            return []
        return self._loader(WholeDataset(self._val, self.val_max_size), self.val_subjects, 1, True, shuffle=False)

    def teardown(self, stage: str | None = None) -> None:
        """End worker processes and threads."""
        while self._loaders:
            self._loaders.pop().close()
        if isinstance(self._train, SmartCache):
            self._train.shutdown()

    def _loader(
        self, dataset: Any, subjects: Sequence[Subject], batch_size: int, keep_workers: bool, **options: Any
    ) -> BatchLoader:
        loader = make_loader(
            dataset,
            self.config,
            seed=self.seed,
            batch_size=batch_size,
            keep_workers=keep_workers,
            costmaps=any(subject.costmap for subject in subjects),
            **options,
        )
        self._loaders.append(loader)
        return loader

    def _cached(self, subjects: Sequence[Subject], kind: str, *, indices: bool) -> Any:
        load = LoadSample(self._load, self._preprocessing, self.facts, indices=indices)
        items = make_items(subjects, (self._fingerprint, self.facts.spatial_dims, indices))
        return cached(kind, items, load, self.config, self._cache_dir)

    def _open_lazily(self) -> None:
        steps = getattr(self._preprocessing, "steps", (self._preprocessing,))
        self._val = LazyCentres(LazySubjects(self.val_subjects, self._load, steps, self.facts), self.val_max_size)
        train = LazySubjects(self.train_subjects, self._load, steps, self.facts)
        if self.task in NEEDS_OBJECTS and not has_object(train):
            raise self._without_objects(len(train))
        self._train = train

    def _check_objects(self, samples: Any) -> None:
        """Find one object; with usual data the first target has it, so no more than that is read."""
        for index in range(len(samples)):
            if (samples[index]["target"] > 0).any():
                return
        raise self._without_objects(len(samples))

    @staticmethod
    def _without_objects(count: int) -> DataError:
        return DataError(
            f"none of the {count} training targets holds an object: all pixels are 0",
            "check that the targets are label images, with 0 for background and a number for each object",
        )
