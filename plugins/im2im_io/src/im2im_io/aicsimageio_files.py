"""Opening files with aicsimageio, with the two gaps in its readers of CZI and LIF closed."""

from __future__ import annotations

import copy
import functools
import logging
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from aicsimageio import AICSImage  # type: ignore[attr-defined]
from aicsimageio.readers.czi_reader import CziReader
from aicspylibczi import CziFile  # type: ignore[import-untyped]

from im2im_io.vendor_reader import Scene, check_scene, scene_of

# It logs each of its readers that a file does not suit; the error that follows says what matters.
logging.getLogger("aicsimageio").addHandler(logging.NullHandler())

_LIF_AXES = {1: "X", 2: "Y", 3: "Z", 4: "T"}
_CHANNEL = 0  # Leica numbers the channels apart from the other dimensions


def open_scene(path: Path, scene: int | str) -> Scene:
    """A scene of any file that aicsimageio knows."""
    suffix = path.suffix.lower()
    if suffix == ".czi":
        CziFile(path)  # says what is wrong with a damaged file, which aicsimageio keeps to itself
        return scene_of(AICSImage(path, reader=_CziReader, chunk_dims=["Y", "X"]), path, scene)
    return _open_lif(path, scene) if suffix == ".lif" else scene_of(AICSImage(path), path, scene)


class _CziReader(CziReader):
    """aicsimageio fails on a CZI that was never calibrated."""

    @staticmethod
    def _get_coords_and_physical_px_sizes(xml: Any, scene_index: int, dims_shape: dict[str, Any]) -> Any:
        missing = [axis for axis in "XY" if xml.find(f".//Distance[@Id='{axis}']") is None]
        if missing:
            xml = copy.copy(xml)  # a distance without a value means: unknown
            xml.extend([xml.makeelement("Distance", {"Id": axis}) for axis in missing])
        return CziReader._get_coords_and_physical_px_sizes(xml, scene_index, dims_shape)


def _open_lif(path: Path, scene: int | str) -> Scene:
    """For aicsimageio knows scans of XY planes only; others, such as XZ, are read plane by plane here."""
    from readlif.reader import LifFile  # type: ignore[import-untyped]

    images = LifFile(path).image_list
    index = check_scene(path, scene, [image["name"] for image in images])
    if tuple(images[index]["dims_n"])[:2] == (1, 2):
        return scene_of(AICSImage(path, chunk_dims=["Y", "X"]), path, index)
    return _lif_planes(LifFile(path).get_image(index))


def _lif_planes(image: Any) -> Scene:
    """A Leica scan with the axes it has: an XZ scan over time is TCZX, and there is no Y."""
    if not set(image.dims_n) <= set(_LIF_AXES):
        raise ValueError(f"scan over the dimensions {list(image.dims_n)} in Leica's numbering")
    fast, slow, *outer = image.dims_n
    dims = [*reversed(outer), *([_CHANNEL] if image.channels > 1 else []), slow, fast]
    lengths = {**image.dims_n, _CHANNEL: image.channels}
    chunks = [(lengths[dim],) if dim in (slow, fast) else (1,) * lengths[dim] for dim in dims]
    dtype = np.dtype("uint8" if image.bit_depth[0] == 8 else "uint16")
    read = functools.partial(_lif_plane, image, dims)
    data = da.map_blocks(  # type: ignore[no-untyped-call]
        read, chunks=chunks, dtype=dtype, meta=np.empty((0,) * len(dims), dtype), token=uuid4().hex
    )
    # The file has pixels per micrometre.
    scales = {_LIF_AXES[dim]: scale for dim, scale in image.scale_n.items() if dim in (1, 2, 3) and scale}
    sizes = {axis: 1 / abs(scale) for axis, scale in scales.items()}
    return Scene(data, "".join(_LIF_AXES.get(dim, "C") for dim in dims), sizes, [])


def _lif_plane(image: Any, dims: list[int], block_id: tuple[int, ...] = ()) -> np.ndarray[Any, Any]:
    at = dict(zip(dims, block_id, strict=True))
    channel = at.pop(_CHANNEL, 0)
    plane = np.asarray(image.get_plane(c=channel, requested_dims=at))
    return plane.reshape((1,) * (len(dims) - 2) + plane.shape)
