"""MONAI's caches over loading and preprocessing."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.data import CacheDataset, PersistentDataset, SmartCacheDataset
from monai.data import Dataset as MonaiDataset
from monai.transforms import Compose
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from im2im_core.data.config import FolderConfig
from im2im_core.data.contents import remembered_hash
from im2im_core.errors import Im2imError
from im2im_core.files import write_beside
from im2im_core.layouts import Subject

log = logging.getLogger(__name__)
FORMAT = 2  # raise it when cached samples are made in another way

Items = Sequence[dict[str, Any]]


class PlainPersistentDataset(PersistentDataset):  # type: ignore[misc]
    """MONAI's persistent cache with safetensors as its files.

    MONAI's own files are pickles. Some it refuses to read back and then silently computes anew in every epoch, one that
    was cut off by a kill stops the training for good, and all are read whole where only a patch is needed.
    """

    def _cachecheck(self, item: dict[str, Any]) -> Any:
        assert self.cache_dir is not None
        file = self.cache_dir / f"{sample_key(item, self.cache_dir)}.safetensors"
        if file.is_file():
            try:
                return load_file(file)
            except (SafetensorError, OSError) as error:
                log.warning("cached sample '%s' cannot be read and is made anew: %s", file, error)
        sample = self._pre_transform(item)
        try:
            with write_beside(file) as beside:
                save_file(sample, beside)
        except (Im2imError, OSError, SafetensorError) as error:
            log.warning("'%s' is not cached: %s", item["subject"].image, error)
        return sample


class SmartCache:
    """MONAI's smart cache as a function of the epoch: a window over the shuffled subjects that moves on.

    Which images an epoch sees depends on its number alone, so a resumed training sees what an uninterrupted one would.
    """

    def __init__(
        self, items: Items, transform: Compose, *, cache_rate: float, reload_share: float, reload_every: int
    ) -> None:
        self.items = list(items)
        self.transform = transform
        self.reload_share = reload_share
        self.reload_every = reload_every
        self.held = max(1, int(len(self.items) * cache_rate))
        self.replaced = min(math.ceil(self.held * reload_share), len(self.items) - self.held)
        self._round = -1
        self._cache: SmartCacheDataset | None = None

    def __len__(self) -> int:
        return self.held

    def __getitem__(self, index: int) -> Any:
        if self._cache is None:
            self.set_epoch(0)
        assert self._cache is not None
        return self._cache[index]

    def set_epoch(self, epoch: int) -> None:
        """Hold the images of that epoch."""
        wanted = epoch // self.reload_every
        if self._cache is not None and wanted == self._round + 1:
            self._cache.update_cache()
        elif self._cache is None or wanted != self._round:
            self.shutdown()
            start = wanted * self.replaced % len(self.items)
            self._cache = SmartCacheDataset(
                [*self.items[start:], *self.items[:start]],
                self.transform,
                replace_rate=self.reload_share,
                cache_num=self.held,
                shuffle=False,
                progress=False,
                copy_cache=False,
            )
        self._round = wanted

    def shutdown(self) -> None:
        """Stop the thread that reads ahead."""
        if self._cache is not None:
            self._cache.shutdown()
            self._cache = None


def make_items(subjects: Iterable[Subject], settings: Sequence[Any]) -> list[dict[str, Any]]:
    """What MONAI's data sets iterate over: a subject, and the settings that decide how a sample is made from it."""
    return [{"subject": subject, "settings": list(settings)} for subject in subjects]


def sample_key(item: Mapping[str, Any], folder: Path) -> str:
    """The name of a cached sample: covers what the files hold and the settings, and not where the files lie.

    Args:
        item: from `make_items`.
        folder: of the cache, where it is remembered what files hold.
    """
    subject: Subject = item["subject"]
    files = {"image": subject.image, "target": subject.target, "costmap": subject.costmap}
    # The suffixes too, since they decide on the reader.
    contents = {
        role: [path.suffixes, remembered_hash(path, folder / "contents")]
        for role, path in files.items()
        if path is not None
    }
    described = json.dumps([FORMAT, item["settings"], subject.value, subject.channels, contents])
    return hashlib.sha256(described.encode()).hexdigest()[:40]


def cached(
    kind: str, items: Items, load: Callable[[Mapping[str, Any]], Any], config: FolderConfig, folder: Path | None
) -> Any:
    """A data set of loaded samples, `dataset[i] -> dict`.

    Args:
        kind: "persistent", "memory", "smart" or "none".
        items: from `make_items`.
        load: makes a sample of an item.
        config: what share of the items is held in memory, and with "smart" how many are replaced when.
        folder: of the persistent cache; without one, memory is used instead.
    """
    transform = Compose([load])
    if kind == "persistent" and folder is None:
        log.warning("no folder for the persistent cache was given: samples are kept in memory")
        kind = "memory"
    if kind == "none":
        return MonaiDataset(items, transform)
    if kind == "persistent":
        return PlainPersistentDataset(items, transform, cache_dir=folder)
    if kind == "smart" and int(len(items) * config.cache_rate) < len(items):
        return SmartCache(
            items,
            transform,
            cache_rate=config.cache_rate,
            reload_share=config.reload_share,
            reload_every=config.reload_every,
        )
    rate = 1.0 if kind == "smart" else config.cache_rate
    return CacheDataset(items, transform, cache_rate=rate, progress=False, copy_cache=False)
