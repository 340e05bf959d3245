"""The `ome-zarr` reader: NGFF 0.1 to 0.5, with or without an `omero` block."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_core.interfaces import ReadImage
from im2im_io.config import OmeZarrReaderConfig
from im2im_io.lazy import Regions, lazy_array, reason
from im2im_io.tiff_metadata import usable_names
from im2im_io.units import micrometres
from im2im_io.zarr_folder import open_zarr_array


def ome_zarr_reader(config: OmeZarrReaderConfig) -> ReadImage:
    """`read(path) -> Image` for OME-Zarr folders."""

    def read(path: Path) -> Image:
        """Read the metadata only.

        Raises:
            DataError: no OME-Zarr image, damaged metadata, or a level or scene that is not there.
        """
        try:
            if not path.is_dir():
                raise DataError(f"'{path.name}' is not a folder", "an OME-Zarr image is a folder")
            node = _image_node(path, config.scene)
            level = _level(node, config.level)
            reopen = functools.partial(open_zarr_array, node.folder / level.folder)
            array = reopen()
            regions, chunks = Regions(path, reopen, array), array.chunks
        except DataError:
            raise
        except Exception as error:  # metadata of strangers: anything may be missing or of another type
            raise DataError(
                f"'{path.name}' has damaged OME-Zarr metadata: {reason(error)}", "write the image again"
            ) from error
        if len(level.axes) != regions.ndim:
            raise DataError(f"'{path.name}' states axes '{level.axes}' for an array of shape {regions.shape}")
        channels = regions.shape[level.axes.index("C")] if "C" in level.axes else 1
        names = usable_names(node.channel_names(), channels)
        return Image(lazy_array(regions, chunks), level.axes, level.pixel_size, names)

    return read


@dataclass(frozen=True)
class _Node:
    """A zarr group and its attributes; those of version 0.5 are one level deeper."""

    folder: Path
    attributes: Mapping[str, Any]

    def channel_names(self) -> list[str]:
        channels = (self.attributes.get("omero") or {}).get("channels") or []
        return [str(channel.get("label") or "") for channel in channels]


def _node(folder: Path) -> _Node:
    for name in ("zarr.json", ".zattrs"):
        if (folder / name).exists():
            found = json.loads((folder / name).read_text(encoding="utf-8"))
            attributes = found.get("attributes", {}) if name == "zarr.json" else found
            return _Node(folder, {**attributes, **attributes.get("ome", {})})
    return _Node(folder, {})


def _image_node(path: Path, scene: int | str) -> _Node:
    """The group with the image: the folder itself, or one of the images that bioformats2raw puts side by side."""
    root = _node(path)
    if root.attributes.get("multiscales"):
        return root
    if "plate" in root.attributes or "well" in root.attributes:
        raise DataError(f"'{path.name}' is a plate or a well, not an image", "name the folder of one field of view")
    inside = _node(path / str(scene))
    if inside.attributes.get("multiscales"):
        return inside
    if "bioformats2raw.layout" in root.attributes:
        raise DataError(f"'{path.name}' has no scene '{scene}'", "its scenes are the numbered folders inside it")
    raise DataError(
        f"'{path.name}' has no OME-Zarr metadata ('multiscales')", "write it as OME-Zarr, or convert it to OME-TIFF"
    )


@dataclass(frozen=True)
class _Level:
    folder: str
    axes: str
    pixel_size: dict[str, float]


def _level(node: _Node, number: int) -> _Level:
    multiscale = node.attributes["multiscales"][0]
    datasets = multiscale["datasets"]
    if number >= len(datasets):
        raise DataError(
            f"'{node.folder.name}' has no level {number}",
            f"its levels are 0 to {len(datasets) - 1}, from fine to coarse",
        )
    # Before version 0.3 the axes were always these five.
    stated = multiscale.get("axes", list("tczyx"))
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in stated]
    letters = "".join(str(axis["name"]).upper() for axis in axes)
    if set(letters) - set("TCZYX"):
        raise DataError(
            f"'{node.folder.name}' has axes {[axis['name'] for axis in axes]}; only t, c, z, y, x are known"
        )
    scales = [_scale(datasets[number], len(axes)), _scale(multiscale, len(axes))]
    pixel_size = {}
    for letter, axis, *factors in zip(letters, axes, *scales, strict=True):
        size = micrometres(math.prod(factors), axis.get("unit")) if letter in "ZYX" else None
        if size:
            pixel_size[letter] = size
    return _Level(str(datasets[number]["path"]), letters, pixel_size)


def _scale(holder: Mapping[str, Any], dimensions: int) -> list[float]:
    for transformation in holder.get("coordinateTransformations") or []:
        if transformation.get("type") == "scale" and "scale" in transformation:
            return [float(factor) for factor in transformation["scale"]]
    return [1.0] * dimensions
