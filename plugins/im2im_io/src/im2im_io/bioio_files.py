"""Opening files with bioio, with the two gaps in its readers of CZI and LIF closed."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import dask.array as da
import numpy as np
from bioio import BioImage  # type: ignore[import-not-found]

from im2im_io.vendor_reader import Scene, check_scene, scene_of


def open_scene(path: Path, scene: int | str) -> Scene:
    """A scene of any file for which a reader of bioio is installed."""
    suffix = path.suffix.lower()
    if suffix == ".czi":
        return _open_czi(path, scene)
    return _open_lif(path, scene) if suffix == ".lif" else scene_of(BioImage(path), path, scene)


def _open_czi(path: Path, scene: int | str) -> Scene:
    """For bioio refuses a CZI that was never calibrated."""
    from bioio_base.types import PhysicalPixelSizes  # type: ignore[import-not-found]
    from bioio_czi.aicspylibczi_reader.reader import Reader  # type: ignore[import-not-found]

    class CziReader(Reader):  # type: ignore[misc]
        @staticmethod
        def _get_coords_and_physical_px_sizes(xml: Any, scene_index: int, dims_shape: dict[str, Any]) -> Any:
            missing = [axis for axis in "XY" if xml.find(f"./Metadata/Scaling/Items/Distance[@Id='{axis}']") is None]
            if missing:
                xml = copy.deepcopy(xml)
                for axis in missing:
                    _add_distance(xml, axis)
            coordinates, sizes = Reader._get_coords_and_physical_px_sizes(xml, scene_index, dims_shape)
            known = {axis: None if axis in missing else getattr(sizes, axis) for axis in "ZYX"}
            return coordinates, PhysicalPixelSizes(**known)

    return scene_of(BioImage(path, reader=CziReader, chunk_dims=["Y", "X"]), path, scene)


def _add_distance(xml: Any, axis: str) -> None:
    """Any distance, so that bioio reads on."""
    place = xml
    for name in ("Metadata", "Scaling", "Items"):
        found = place.find(f"./{name}")
        place = found if found is not None else ElementTree.SubElement(place, name)
    ElementTree.SubElement(ElementTree.SubElement(place, "Distance", Id=axis), "Value").text = "1e-6"


def _open_lif(path: Path, scene: int | str) -> Scene:
    """For bioio knows scans of XY planes only; others, such as XZ, are read plane by plane here."""
    from liffile import LifFile  # type: ignore[import-not-found]

    with LifFile(path) as file:
        images = list(file.images)
        index = check_scene(path, scene, [image.name for image in images])
        image = images[index]
        dims, plane = "".join(image.dims), 2 + ("S" in image.dims)
        if {"Y", "X"} <= set(dims[-plane:]):
            return scene_of(BioImage(path), path, index)
        if set(dims) - set("TCZYXS"):
            raise ValueError(f"scan over the dimensions '{dims}'")
        # Coordinates are in metres.
        steps = {axis: np.diff(image.coords[axis][:2]) for axis in "ZYX" if axis in image.coords}
        sizes = {axis: abs(float(step[0])) * 1e6 for axis, step in steps.items() if len(step) and step[0]}
        chunks = [(n,) if number >= len(dims) - plane else (1,) * n for number, n in enumerate(image.shape)]
        dtype = image.dtype
    read = functools.partial(_lif_plane, path, index, dims[:-plane])
    data = da.map_blocks(  # type: ignore[no-untyped-call]
        read, chunks=chunks, dtype=dtype, meta=np.empty((0,) * len(dims), dtype), token=uuid4().hex
    )
    return Scene(data, dims, sizes, [])


def _lif_plane(path: Path, index: int, outer: str, block_id: tuple[int, ...] = ()) -> np.ndarray[Any, Any]:
    from liffile import LifFile

    with LifFile(path) as file:
        plane = np.asarray(list(file.images)[index].frame(**dict(zip(outer, block_id, strict=False))))
    return plane.reshape((1,) * len(outer) + plane.shape)
