"""`unpaired`: images and targets that are no pairs, as batches in which both meet at random."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule

from im2im_core.builtin.dataset_config import UnpairedConfig
from im2im_core.builtin.sides import Sides, facts_of_sides, pair_up, split_sides
from im2im_core.builtin.unpaired_patches import UnpairedPatches, UnpairedWholes
from im2im_core.data.caching import SmartCache, cached, make_items
from im2im_core.data.loading import BatchLoader, make_loader, make_sampler
from im2im_core.data.pairs import check_size
from im2im_core.data.patches import PatchSettings, failure
from im2im_core.data.samples import LoadSide
from im2im_core.errors import DataError
from im2im_core.interfaces import ReadImage, Sample
from im2im_core.layouts import Subject

log = logging.getLogger(__name__)
Step = Callable[[Sample], Sample]


class UnpairedDataModule(LightningDataModule):  # type: ignore[misc]
    """Batches `{"image", "target"}` of plain tensors, (B, C, [Z,] Y, X), in which image and target are no pairs.

    Preprocessing and augmentation are given a sample of the image alone, and one of the target alone; a step passes
    over the part that is not there.

    Args:
        config: settings of `unpaired`.
        load: opens an image file lazily.
        preprocessing: from one sample dict to the next, the same every time; its results are cached.
        augmentation: from one patch to the next, random.
        spatial_dims: 2 or 3.
        seed: decides on split, order, pairing, patches and augmentation.
        cache_dir: of the persistent cache where the settings name none.
        fingerprint: text that changes with the settings of preprocessing and reader, so that no stale cache is used.

    Attributes:
        train_sides: what is trained on.
        val_sides: what is validated on.
        val_pairs: which image is compared with which target in validation, as indices.
        facts: channels and dimensions, from the first image and the first target.

    Raises:
        DataError: nothing usable on disk.
    """

    def __init__(
        self,
        config: UnpairedConfig,
        *,
        load: ReadImage,
        preprocessing: Step,
        augmentation: Step,
        spatial_dims: int,
        seed: int,
        cache_dir: Path | None = None,
        fingerprint: str = "",
    ) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.train_sides, self.val_sides = split_sides(config, seed)
        self.val_pairs = pair_up(self.val_sides)
        self.facts = facts_of_sides(self.train_sides, self.val_sides, load, spatial_dims)
        self.patch_size, self.val_max_size = check_size(config, spatial_dims)
        self._load = load
        self._preprocessing = preprocessing
        self._augmentation = augmentation
        self._cache_dir = Path(config.cache_dir) if config.cache_dir else cache_dir
        self._fingerprint = fingerprint
        self._train: tuple[Any, Any] | None = None
        self._val: tuple[Any, Any] | None = None
        self._loaders: list[BatchLoader] = []

    def setup(self, stage: str | None = None) -> None:
        """Open the caches; with `cache: memory` this reads all images.

        Raises:
            DataError: an image cannot be used.
        """
        if self._train is not None:
            return
        try:
            train = self._cached(self.train_sides, self.config.cache)
            # Validation wants the same images every time, which a changing part of them is not.
            self._val = self._cached(self.val_sides, "memory" if self.config.cache == "smart" else self.config.cache)
        except Exception as error:
            told = failure(error)
            raise DataError(told.message, told.hint) from error
        self._train = train

    def train_dataloader(self) -> BatchLoader:
        """Patches of all images and targets, in an order and a pairing that depend on the seed and the epoch only."""
        self.setup()
        assert self._train is not None
        settings = PatchSettings(self.patch_size, self.config.patches_per_image if self.patch_size else 1)
        patches = UnpairedPatches(*self._train, self._augmentation, settings, self.seed)
        smart = [cache for cache in self._train if isinstance(cache, SmartCache)]

        def move_on(epoch: int) -> None:
            for cache in smart:
                cache.set_epoch(epoch)

        # Workers are copies of this process: with a cache that changes they must be made anew.
        sampler = make_sampler(len(patches), self.seed, self.trainer)
        loader = self._loader(patches, self.config.batch_size, keep_workers=not smart, sampler=sampler)
        loader.before_epoch = move_on
        return loader

    def val_dataloader(self) -> BatchLoader | list[Any]:
        """Images and targets one by one, always the same; an empty list when there are none."""
        self.setup()
        if not self.val_pairs:
            return []
        assert self._val is not None
        return self._loader(UnpairedWholes(*self._val, self.val_pairs, self.val_max_size), 1, shuffle=False)

    def teardown(self, stage: str | None = None) -> None:
        """End worker processes and threads."""
        while self._loaders:
            self._loaders.pop().close()
        for cache in self._train or ():
            if isinstance(cache, SmartCache):
                cache.shutdown()

    def _loader(self, dataset: Any, batch_size: int, **options: Any) -> BatchLoader:
        loader = make_loader(dataset, self.config, seed=self.seed, batch_size=batch_size, **options)
        self._loaders.append(loader)
        return loader

    def _cached(self, sides: Sides, kind: str) -> tuple[Any, Any]:
        return self._side("image", sides.images, kind), self._side("target", sides.targets, kind)

    def _side(self, key: str, subjects: Sequence[Subject], kind: str) -> Any:
        load = LoadSide(key, self._load, self._preprocessing, self.facts)
        items = make_items(subjects, (self._fingerprint, self.facts.spatial_dims, key))
        return cached(kind, items, load, self.config, self._cache_dir)
