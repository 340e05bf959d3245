"""Small images to check components with. Nothing is read from disk but what is written here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from im2im_core.components import ComponentConfig, Reader
from im2im_core.image import Image
from im2im_core.interfaces import NumpyArray
from im2im_core.registry import PluginInfo, Registered, Registry

PIXELS = {2: (45, 53), 3: (11, 37, 29)}
"""Odd, and different along each axis."""


def disc_image(dims: int, seed: int = 0, size: tuple[int, ...] | None = None) -> tuple[NumpyArray, NumpyArray]:
    """A float32 image ([Z], Y, X) of bright balls with noise, and their labels (uint16)."""
    rng = np.random.default_rng(seed)
    shape = size or PIXELS[dims]
    grid = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    for _ in range(40):
        middle, radius = rng.uniform(3, np.array(shape) - 3), rng.uniform(3, 6)
        ball = sum((axis - m) ** 2 for axis, m in zip(grid, middle, strict=True)) < radius**2
        wide = sum((axis - m) ** 2 for axis, m in zip(grid, middle, strict=True)) < (radius + 2) ** 2
        if not labels[wide].any():
            labels[ball] = labels.max() + 1
    image = ndimage.gaussian_filter((labels > 0).astype(np.float32), 1) + rng.normal(0, 0.05, shape)
    return image.astype(np.float32), labels


def target_for(task: str | None, image: NumpyArray, labels: NumpyArray) -> NumpyArray:
    """What belongs to an image of balls in a task: their labels, a mask of them, or the image without noise."""
    if task == "instance-segmentation":
        return labels
    if task == "semantic-segmentation":
        return (labels > 0).astype(np.uint8)
    clean: NumpyArray = ndimage.gaussian_filter((labels > 0).astype(np.float32), 1)
    return clean


def write_pairs(folder: Path, task: str | None, dims: int, count: int = 4, size: tuple[int, ...] | None = None) -> Path:
    """A folder of pairs X_IM.npy, X_GT.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image, labels = disc_image(dims, number, size)
        np.save(folder / f"x{number}_IM.npy", image, allow_pickle=False)
        np.save(folder / f"x{number}_GT.npy", target_for(task, image, labels), allow_pickle=False)
    return folder


def load(path: Path) -> Image:
    """Opens what `write_pairs` wrote."""
    data = np.load(path, allow_pickle=False)
    return Image(data, "ZYX"[-data.ndim :], dict.fromkeys("ZYX"[-data.ndim :], 0.5))


def with_toy_reader(registry: Registry) -> Registry:
    """The same plug-ins and one that reads .npy files, before all others: checks need no I/O plug-in."""
    reader = Reader(
        name="toy-npy", summary="arrays", config=ComponentConfig, factory=_reader, suffixes=(".npy",), priority=1000
    )
    entries = [Registered("testing", reader), *_all(registry)]
    return Registry([*registry.plugins, PluginInfo("testing", __name__, "im2im-core", "", "active")], entries)


def _reader(config: ComponentConfig) -> Any:
    return load


def _all(registry: Registry) -> list[Registered]:
    from im2im_core.components import KINDS

    return [entry for kind in KINDS for entry in registry.components(kind)]
