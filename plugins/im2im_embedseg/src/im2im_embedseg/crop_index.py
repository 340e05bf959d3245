"""What a folder of cached instance crops holds: `index.json`, written last. Loads no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from im2im_core import ConfigError, DataError, DataFacts, DataSurvey
from im2im_core.files import write_json
from im2im_embedseg.dataset_config import InstancesConfig

FILE = "index.json"
FORMAT = "im2im-instance-crops"
VERSION = 1


@dataclass(frozen=True, slots=True)
class CropSettings:
    """What crops are made by, apart from the files.

    Attributes:
        patch_size: [Z], Y, X.
        center: the centre of an object.
        anisotropy: distance of neighbours in Z over that in Y and X.
        fingerprint: changes with preprocessing and reader.
    """

    patch_size: tuple[int, ...]
    center: Any
    anisotropy: float
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Shard:
    """What was made of one image.

    Attributes:
        stem: the image's name.
        files: names of the files in the folder.
        crops: crops in each of these files; empty for a whole image.
        shape: of the image, [Z], Y, X.
        sizes: pixels of each object.
        larger: objects that are longer than a crop.
        made: it was made just now, and not found.
    """

    stem: str
    files: tuple[str, ...]
    crops: tuple[int, ...]
    shape: tuple[int, ...]
    sizes: tuple[int, ...]
    larger: int = 0
    made: bool = False


@dataclass(frozen=True, slots=True)
class CropIndex:
    """A complete cache.

    Attributes:
        folder: where it is.
        settings: what the crops were made by.
        facts: of the images that they were made from.
        train: crops.
        val: whole images.
    """

    folder: Path
    settings: CropSettings
    facts: DataFacts
    train: tuple[Shard, ...]
    val: tuple[Shard, ...]

    def survey(self) -> DataSurvey:
        """What the pixels of the images are that the crops were made from, as far as it concerns objects."""
        shards = sorted([*self.train, *self.val], key=lambda shard: shard.stem)
        sizes = tuple(size for shard in shards for size in shard.sizes)
        pixels = sum(math.prod(shard.shape) for shard in shards)
        return DataSurvey(
            shapes=tuple(shard.shape for shard in shards),
            pixel_size=self.facts.pixel_size,
            foreground=sum(sizes) / pixels if pixels else 0.0,
            object_sizes=sizes,
        )

    def write(self) -> None:
        """Write the index, which makes the folder complete."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "settings": asdict(self.settings),
            "facts": {**asdict(self.facts), "pixel_size": dict(self.facts.pixel_size)},
            **{part: [_plain(shard) for shard in getattr(self, part)] for part in ("train", "val")},
        }
        write_json(self.folder / FILE, content)


def cached_crops(config: InstancesConfig) -> CropIndex | None:
    """The cache that the settings name as data; None where they name images.

    Raises:
        DataError: the index is damaged, or files that it lists are missing.
        ConfigError: the settings ask for crops of another kind.
    """
    folder = Path(config.path).expanduser() if config.path else None
    if folder is None or not (folder / FILE).is_file():
        return None
    index = read_index(folder)
    if index is None:
        return None
    if config.mode != "instance-crops":
        raise ConfigError(
            f"dataset.mode: '{folder}' holds instance crops and no images to cut patches from",
            "--set dataset.mode=instance-crops",
        )
    stored = index.settings
    size = config.size(config.patch_size, index.facts.spatial_dims, "dataset.patch_size")
    for name, wanted, found in (
        ("patch_size", size, stored.patch_size),
        ("center", config.center, stored.center),
        ("anisotropy", config.anisotropy, stored.anisotropy),
    ):
        if wanted is not None and wanted != found:
            raise ConfigError(
                f"dataset.{name}: '{wanted}', but the crops in '{folder}' were made with '{found}'",
                f"leave dataset.{name} out, or make new crops from the images",
            )
    return index


def read_index(folder: Path) -> CropIndex | None:
    """The index of a folder; None where its `index.json` is something else.

    Raises:
        DataError: it is damaged, of a newer version, or files that it lists are missing.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            return None
        if content["version"] != VERSION:
            raise DataError(
                f"'{path}' has version '{content['version']}', this plug-in reads '{VERSION}'", "make new crops"
            )
        settings, facts = dict(content["settings"]), dict(content["facts"])
        settings["patch_size"] = tuple(int(n) for n in settings["patch_size"])
        facts["channel_names"] = tuple(facts["channel_names"])
        train, val = (tuple(_shard(entry) for entry in content[part]) for part in ("train", "val"))
        index = CropIndex(folder, CropSettings(**settings), DataFacts(**facts), train, val)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"'{path}' is damaged: {type(error).__name__}: {error}", "make new crops") from error
    missing = [name for shard in (*train, *val) for name in shard.files if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} files that '{path}' lists are missing, the first is '{missing[0]}'",
            "copy the whole folder, or make new crops from the images",
        )
    return index


def _shard(entry: Mapping[str, Any]) -> Shard:
    # A name only: an index must not lead out of its folder.
    files = tuple(Path(str(name)).name for name in entry["files"])
    crops, shape, sizes = (tuple(int(n) for n in entry[key]) for key in ("crops", "shape", "sizes"))
    return Shard(str(entry["stem"]), files, crops, shape, sizes, int(entry["larger"]))


def _plain(shard: Shard) -> dict[str, Any]:
    return {key: value for key, value in asdict(shard).items() if key != "made"}
