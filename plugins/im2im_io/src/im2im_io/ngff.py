"""Metadata of OME-Zarr: the blocks of NGFF 0.4 that describe an image and its labels."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from im2im_core.image import Image

LABELS = "objects"
_KINDS = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_COLOURS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def image_attributes(
    image: Image, name: str, shapes: list[tuple[int, ...]], inside: str = "", *, averaged: bool = True
) -> dict[str, Any]:
    """The `multiscales` and `omero` blocks.

    Args:
        image: axes, pixel size in micrometre and channel names.
        name: of the image.
        shapes: of its levels, from fine to coarse.
        inside: where the levels lie, below the image.
        averaged: a coarse pixel is the mean of four, and its middle theirs; otherwise it is the first of them.
    """
    # Other software expects the block, names or not.
    omero = {"id": 1, "name": name, "version": "0.4", "channels": _channels(image)}
    return {"multiscales": [_multiscale(image, name, shapes, inside, averaged)], "omero": omero}


def label_list() -> dict[str, Any]:
    """What the group `labels` says: which label images it holds."""
    return {"labels": [LABELS]}


def label_attributes(image: Image, shapes: list[tuple[int, ...]]) -> dict[str, Any]:
    """The `multiscales` and `image-label` blocks of a label image, two groups below its image."""
    label = {"version": "0.4", "source": {"image": "../../"}}
    return {"multiscales": [_multiscale(image, LABELS, shapes, "", averaged=False)], "image-label": label}


def _multiscale(image: Image, name: str, shapes: list[tuple[int, ...]], inside: str, averaged: bool) -> dict[str, Any]:
    axes = [
        {"name": axis.lower(), "type": _KINDS[axis], **({"unit": "micrometer"} if axis in image.pixel_size else {})}
        for axis in image.axes
    ]
    datasets = []
    for number, shape in enumerate(shapes):
        sizes = [float(image.pixel_size.get(axis, 1.0)) for axis in image.axes]
        # Two to the power of how often the axis was halved.
        factors = [_halvings(shapes, number, dimension) for dimension in range(len(shape))]
        scale = [size * factor for size, factor in zip(sizes, factors, strict=True)]
        moves: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if averaged and number:
            shift = [size * (factor - 1) / 2 for size, factor in zip(sizes, factors, strict=True)]
            moves.append({"type": "translation", "translation": shift})
        datasets.append({"path": f"{inside}{number}", "coordinateTransformations": moves})
    way = "mean" if averaged else "nearest"
    made_by = {"method": "im2im_io.pyramid.copy_level", "kwargs": {"mean": averaged}}
    return {"version": "0.4", "name": name, "type": way, "metadata": made_by, "axes": axes, "datasets": datasets}


def _halvings(shapes: list[tuple[int, ...]], number: int, dimension: int) -> int:
    lengths = [shape[dimension] for shape in shapes[: number + 1]]
    return 1 << sum(before > after for before, after in pairwise(lengths))


def _channels(image: Image) -> list[dict[str, Any]]:
    integer = image.dtype.kind in "ui"
    low, high = (0.0, float(np.iinfo(image.dtype).max)) if integer else (0.0, 1.0)
    window = {"min": low, "max": high, "start": low, "end": high}
    count = image.sizes.get("C", 1)
    names = [{"label": name} for name in image.channel_names] or [{}] * count
    return [
        {**names[i], "color": _COLOURS[i % len(_COLOURS)], "active": True, "window": dict(window)} for i in range(count)
    ]
