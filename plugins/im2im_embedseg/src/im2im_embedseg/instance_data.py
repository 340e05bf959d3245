"""`instances`: label images by object, as patches cut on the fly or as cached crops; whole images for validation."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule

from im2im_core import ConfigError, DataError, DataFacts, Image, Sample
from im2im_core.data.caching import SmartCache, cached, make_items
from im2im_core.data.loading import BatchLoader, in_parallel, make_loader, make_sampler
from im2im_core.data.pairs import Subject, check_size, facts_of, split_subjects
from im2im_core.data.patches import WholeDataset, failure
from im2im_core.data.samples import LoadSample
from im2im_core.progress import track
from im2im_embedseg.crop_cache import CropMaker, WholeImages
from im2im_embedseg.crop_index import CropIndex, CropSettings, cached_crops
from im2im_embedseg.crop_making import CENTERS, LoadWithCenters
from im2im_embedseg.dataset_config import PATCH_SIZE, InstancesConfig
from im2im_embedseg.instance_patches import CachedCrops, CutPatches, InstancePatches, Patches, Rounds

log = logging.getLogger(__name__)
Step = Callable[[Sample], Sample]
MOST_WORKERS = 8


class InstancesDataModule(LightningDataModule):  # type: ignore[misc]
    """Batches `{"image", "target", "center_image"[, "costmap"]}` of plain tensors, (B, C, [Z,] Y, X).

    Args:
        config: settings of `instances`.
        load: opens an image file lazily.
        preprocessing: from one sample dict to the next, the same every time; its results are cached.
        augmentation: from one patch to the next, random.
        spatial_dims: 2 or 3.
        seed: decides on split, order, patches and augmentation.
        cache_dir: of caches and crops where the settings name none.
        fingerprint: text that changes with the settings of preprocessing and reader, so that no stale cache is used.

    Attributes:
        facts: channels and dimensions.
        patch_size: of patches or crops.
        crops: the cached crops that are trained from, once they are there; None on the fly.

    Raises:
        DataError: nothing usable on disk, or the first pair does not fit together.
        ConfigError: cached crops were made in another way.
    """

    def __init__(
        self,
        config: InstancesConfig,
        *,
        load: Callable[[Path], Image],
        preprocessing: Step,
        augmentation: Step,
        spatial_dims: int,
        seed: int,
        cache_dir: Path | None = None,
        fingerprint: str = "",
    ) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self._load, self._preprocessing, self._augmentation = load, preprocessing, augmentation
        self._folder = Path(config.cache_dir) if config.cache_dir else cache_dir
        self._fingerprint = fingerprint
        self._patches: Patches | None = None
        self._val: Any = None
        self._loaders: list[BatchLoader] = []
        self._samples: Any = None
        size, self.val_max_size = check_size(config, spatial_dims)
        self.patch_size = size or PATCH_SIZE[spatial_dims]
        self.train_subjects: list[Subject] = []
        self.val_subjects: list[Subject] = []
        self.crops = cached_crops(config)
        if self.crops is not None:
            self.facts, self.patch_size = self.crops.facts, self.crops.settings.patch_size
            self._check_fingerprint(self.crops)
        else:
            self.train_subjects, self.val_subjects = split_subjects(config, seed)
            everything = [*self.train_subjects, *self.val_subjects]
            self.facts = facts_of(everything, len(self.train_subjects), load, spatial_dims)

    @property
    def crop_settings(self) -> CropSettings:
        """What crops are made by."""
        center, anisotropy = self.config.center or "centroid", self.config.anisotropy
        return CropSettings(self.patch_size, center, anisotropy or voxel_anisotropy(self.facts), self._fingerprint)

    def prepare_data(self) -> None:
        """Cut the crops that are missing, in one process of a distributed training."""
        if self.config.mode == "instance-crops" and self.crops is None:
            self.crops = self._cut()

    def setup(self, stage: str | None = None) -> None:
        """Open the crops or the caches, and count the objects.

        Raises:
            DataError: an image cannot be used, or no target holds an object.
        """
        if self._patches is not None:
            return
        self.prepare_data()
        try:
            patches = self._on_the_fly() if self.crops is None else self._from_crops(self.crops)
        except Exception as error:
            told = failure(error)
            raise DataError(told.message, told.hint) from error
        self._patches = patches

    def train_dataloader(self) -> BatchLoader:
        """Patches in an order that depends on the seed and the epoch only."""
        self.setup()
        assert self._patches is not None
        dataset = InstancePatches(self._patches, self._augmentation, self.seed)
        sampler = make_sampler(len(dataset), self.seed, self.trainer)
        smart = isinstance(self._samples, SmartCache)
        # Workers are copies of this process: with a cache that changes they must be made anew.
        loader = self._loader(dataset, self.config.batch_size, not smart, sampler=sampler)
        if smart:
            loader.before_epoch = self._samples.set_epoch
        return loader

    def val_dataloader(self) -> BatchLoader | list[Any]:
        """Whole images one by one; an empty list when there are none."""
        self.setup()
        if not len(self._val):
            return []
        return self._loader(WholeDataset(self._val, self.val_max_size), 1, True, shuffle=False)

    def teardown(self, stage: str | None = None) -> None:
        """End worker processes and threads."""
        while self._loaders:
            self._loaders.pop().close()
        if isinstance(self._samples, SmartCache):
            self._samples.shutdown()

    def _loader(self, dataset: Any, batch_size: int, keep_workers: bool, **options: Any) -> BatchLoader:
        loader = make_loader(
            dataset,
            self.config,
            seed=self.seed,
            batch_size=batch_size,
            keep_workers=keep_workers,
            costmaps=self.facts.has_costmap,
            **options,
        )
        self._loaders.append(loader)
        return loader

    def _cut(self) -> CropIndex:
        """Crops of the training images and whole validation images, made where they are missing; then the index."""
        if self._folder is None:
            raise ConfigError("there is no folder for the instance crops", "--set dataset.cache_dir=FOLDER")
        maker = CropMaker(self._folder, self._load, self._preprocessing, self.facts, self.crop_settings)
        jobs = [*(partial(maker.crops, subject) for subject in self.train_subjects)]
        jobs += [partial(maker.whole, subject) for subject in self.val_subjects]
        shards = self._run(jobs, "instance crops")
        count = len(self.train_subjects)
        index = CropIndex(self._folder, maker.settings, self.facts, tuple(shards[:count]), tuple(shards[count:]))
        index.write()
        _tell_large(index)
        made, crops = sum(shard.made for shard in shards), sum(sum(shard.crops) for shard in index.train)
        log.info("%d crops of %d images in '%s'; %d images were new", crops, count, self._folder, made)
        return index

    def _run(self, jobs: Sequence[Callable[[], Any]], description: str) -> list[Any]:
        done: list[Any] = []
        workers = self.config.prepare_workers
        workers = min(os.cpu_count() or 1, MOST_WORKERS) if workers is None else workers
        try:
            for result in track(in_parallel(partial(_call, jobs), len(jobs), workers), description, len(jobs)):
                done.append(result)
        except KeyboardInterrupt:
            log.warning(
                "%d of %d images are ready in '%s' and stay: name it as dataset.cache_dir to go on from there",
                len(done), len(jobs), self._folder,
            )  # fmt: skip
            raise
        return done

    def _from_crops(self, index: CropIndex) -> CachedCrops:
        shards = tuple(shard for shard in index.train if sum(shard.crops))
        _check_objects(len(shards), len(index.train))
        self._val = WholeImages(index.folder, index.val)
        counts = [sum(shard.crops) for shard in shards]
        if len(shards) < len(index.train):
            log.warning("%d training images hold no object and are in no crop", len(index.train) - len(shards))
        rounds = Rounds(counts, self.config.patches_per_image, self.config.weighting, self.seed)
        return CachedCrops(index.folder, shards, rounds)

    def _on_the_fly(self) -> CutPatches:
        config, settings = self.config, self.crop_settings
        plain = LoadSample(self._load, self._preprocessing, self.facts, indices=False)
        with_centers = LoadWithCenters(plain, settings.center, settings.anisotropy)
        made_by = (self._fingerprint, self.facts.spatial_dims)
        items = make_items(self.train_subjects, (*made_by, CENTERS, settings.center, settings.anisotropy))
        self._samples = cached(config.cache, items, with_centers, config, self._folder)
        # Validation wants the same images every time, which a changing part of them is not.
        kind = "memory" if config.cache == "smart" else config.cache
        self._val = cached(kind, make_items(self.val_subjects, made_by), plain, config, self._folder)
        counts: list[int | None] = [None] * len(self._samples)
        if config.weighting == "objects":
            jobs = [partial(count_objects, self._samples, index) for index in range(len(counts))]
            counts = list(self._run(jobs, "images")) if config.cache == "persistent" else [job() for job in jobs]
            _check_objects(sum(count or 0 for count in counts), len(counts))
        elif not any(count_objects(self._samples, index) for index in range(len(counts))):
            _check_objects(0, len(counts))
        rounds = Rounds(counts, config.patches_per_image or 4, config.weighting, self.seed)
        return CutPatches(self._samples, rounds, self.patch_size, config.object_fraction, config.jitter)

    def _check_fingerprint(self, index: CropIndex) -> None:
        if index.settings.fingerprint != self._fingerprint:
            raise ConfigError(
                f"the crops in '{index.folder}' were made with another preprocessing or reader",
                "repeat those settings from the config.yaml of the run that made them, or make new crops",
            )


def voxel_anisotropy(facts: DataFacts) -> float:
    """Distance of neighbours in Z over that in Y; 1 in 2D and where the pixel size is unknown."""
    if facts.spatial_dims == 2 or not all(facts.pixel_size.get(axis) for axis in "ZY"):
        return 1.0
    return float(facts.pixel_size["Z"]) / float(facts.pixel_size["Y"])


def count_objects(samples: Any, index: int) -> int:
    """Objects of an image; with a persistent cache this also fills it."""
    return len(samples[index][CENTERS])


def _call(jobs: Sequence[Callable[[], Any]], index: int) -> Any:
    return jobs[index]()


def _check_objects(objects: int, images: int) -> None:
    if not objects:
        raise DataError(
            f"none of the {images} training targets holds an object: all pixels are 0",
            "check that the targets are label images, with 0 for background and a number for each object",
        )


def _tell_large(index: CropIndex) -> None:
    objects, larger = (sum(count) for count in zip(*((len(s.sizes), s.larger) for s in index.train), strict=True))
    if larger > 0.01 * objects:
        size = "x".join(str(n) for n in index.settings.patch_size)
        log.warning(
            "%d of %d objects are longer than a crop of %s pixels: dataset.patch_size may be too small",
            larger, objects, size,
        )  # fmt: skip
