"""The files of cached instance crops: made where they are missing, read crop by crop.

Their names tell the contents of the image files and all settings they were made by, so a stale one is never found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from im2im_core import DataError, DataFacts, Image, Sample, write_beside
from im2im_core.data.contents import content_hash
from im2im_core.data.pairs import Subject
from im2im_core.data.samples import LoadSample
from im2im_embedseg.crop_index import CropSettings, Shard
from im2im_embedseg.crop_making import Array, Objects, list_objects, make_crops, padded

FORMAT = 1  # raise it when crops are made in another way
MOST_BYTES = 1 << 28  # of crops in one file, and about so many in memory
SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class CropMaker:
    """Makes the files of one image after the other; picklable as far as its parts are.

    Attributes:
        folder: where they lie.
        load: opens an image file.
        preprocessing: from one sample to the next.
        facts: channels and dimensions that every image must have.
        settings: what crops are made by.
    """

    folder: Path
    load: Callable[[Path], Image]
    preprocessing: Callable[[Sample], Sample]
    facts: DataFacts
    settings: CropSettings

    def crops(self, subject: Subject) -> Shard:
        """The crops of an image, in as many files as they need.

        Raises:
            DataError: the image cannot be used; names the file.
            OutputError: the folder cannot be written.
        """
        name = f"crops-{self.key(subject, crops=True)}"
        found = self._found(name, subject)
        if found:
            return found
        shape, sample, objects = self._objects(subject)
        sample = padded(sample, self.settings.patch_size)
        if shape != sample["image"].shape[1:]:
            # Padding moves the objects.
            objects = self._list(sample)
        per_file = max(1, MOST_BYTES // self._bytes_per_crop(sample))
        counts = tuple(min(per_file, len(objects) - first) for first in range(0, len(objects), per_file)) or (0,)
        larger = int((objects.length > self.settings.patch_size).any(axis=1).sum())
        sizes = tuple(objects.size.tolist())
        shard = Shard(subject.stem, _names(name, len(counts)), counts, shape, sizes, larger, made=True)
        first = 0
        for file, count in zip(shard.files, counts, strict=True):
            if not _complete(self.folder / file):
                crops = make_crops(sample, objects, slice(first, first + count), self.settings.patch_size)
                self._save(file, crops, shard)
            first += count
        return shard

    def whole(self, subject: Subject) -> Shard:
        """A whole image, preprocessed, as it is validated on."""
        name = f"whole-{self.key(subject, crops=False)}"
        found = self._found(name, subject)
        if found:
            return found
        shape, sample, objects = self._objects(subject)
        shard = Shard(subject.stem, _names(name, 1), (), shape, tuple(objects.size.tolist()), made=True)
        self._save(shard.files[0], sample, shard)
        return shard

    def key(self, subject: Subject, *, crops: bool) -> str:
        """Covers the contents of the files and the settings, and not where the files lie."""
        files = {"image": subject.image, "target": subject.target, "costmap": subject.costmap}
        contents: dict[str, Any] = {role: content_hash(path) for role, path in files.items() if path is not None}
        if subject.channels:
            contents["channels"] = subject.channels
        settings = asdict(self.settings) if crops else {"fingerprint": self.settings.fingerprint}
        described = [FORMAT, self.facts.spatial_dims, settings, contents]
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:40]

    def _objects(self, subject: Subject) -> tuple[tuple[int, ...], Sample, Objects]:
        tensors = LoadSample(self.load, self.preprocessing, self.facts, indices=False)({"subject": subject})
        if tensors["target"].is_floating_point() or len(tensors["target"]) != 1:
            raise DataError(
                f"the target '{subject.target}' is no label image: {len(tensors['target'])} channel(s) of "
                f"{str(tensors['target'].dtype).removeprefix('torch.')}",
                "a label image has one channel of whole numbers: 0 for background and a number for each object",
            )
        sample = {key: value.numpy() for key, value in tensors.items() if key in ("image", "target", "costmap")}
        return tuple(sample["image"].shape[1:]), sample, self._list(sample)

    def _list(self, sample: Sample) -> Objects:
        costmap = sample["costmap"][0] if "costmap" in sample else None
        return list_objects(sample["target"][0], self.settings.center, self.settings.anisotropy, costmap)

    def _bytes_per_crop(self, sample: Sample) -> int:
        channels = sum(len(sample[key]) for key in ("image", "costmap") if key in sample)
        return int(np.prod(self.settings.patch_size)) * (4 * channels + 6)

    def _found(self, name: str, subject: Subject) -> Shard | None:
        """What is there already, if nothing of it is missing."""
        summary = _summary(self.folder / _names(name, 1)[0])
        if summary is None:
            return None
        crops, shape, sizes = (tuple(int(n) for n in summary[key]) for key in ("crops", "shape", "sizes"))
        files = _names(name, max(1, len(crops)))
        if not all(_complete(self.folder / file) for file in files[1:]):
            return None
        return Shard(subject.stem, files, crops, shape, sizes, int(summary["larger"]))

    def _save(self, file: str, arrays: Mapping[str, Array], shard: Shard) -> None:
        summary = {key: getattr(shard, key) for key in ("crops", "shape", "sizes", "larger")}
        contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        with write_beside(self.folder / file) as beside:
            beside.touch()
            usual = beside.stat().st_mode
            save_file(contiguous, beside, metadata={SUMMARY: json.dumps(summary)})
            beside.chmod(usual)  # safetensors lets nobody else read its files


def read_crop(folder: Path, shard: Shard, number: int) -> Sample:
    """One crop: image (C, ...), target and centers (1, ...) and, where there is one, costmap; plain tensors.

    Raises:
        DataError: the file is missing or damaged.
    """
    part = 0
    while number >= shard.crops[part]:
        number -= shard.crops[part]
        part += 1
    with _opened(folder / shard.files[part]) as file:
        names = set(file.keys())
        arrays = {key: file.get_slice(key)[number] for key in ("image", "labels", "centers")}
        if "costmap" in names:
            arrays["costmap"] = file.get_slice("costmap")[number]
    labels = arrays.pop("labels")
    arrays["target"] = labels.astype(np.int32 if labels.dtype == np.uint16 else labels.dtype)[None]
    arrays["centers"] = arrays["centers"].astype(arrays["target"].dtype)[None]
    return {key: torch.from_numpy(value) for key, value in arrays.items()}


class WholeImages:
    """`images[i]` is a whole image with its target, as tensors."""

    def __init__(self, folder: Path, shards: Iterable[Shard]) -> None:
        self.folder = folder
        self.shards = tuple(shards)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> Sample:
        with _opened(self.folder / self.shards[index].files[0]) as file:
            return {key: torch.from_numpy(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118


def _names(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}-{index}.safetensors" for index in range(count))


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"the cached crops '{path}' cannot be read: {error}", "delete the file; it is made anew from the images"
        ) from error


def _summary(path: Path) -> Any:
    """What a file says about all files of its image; None where there is none, or one that was cut off."""
    try:
        with safe_open(path, framework="numpy") as file:
            return json.loads(file.metadata()[SUMMARY])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError):
        return None


def _complete(path: Path) -> bool:
    return _summary(path) is not None
