"""The `png` writer: 8 or 16 bit grey, 8 bit RGB. Pixel size and channel names are not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from im2im_core.errors import OutputError
from im2im_core.image import Image
from im2im_io.config import PngWriterConfig
from im2im_io.region_file import RegionFile

_OTHER = "write '.ome.tiff' instead, which holds any number of channels and planes of any type"


class PngWriter:
    """Writes `.png`."""

    def __init__(self, config: PngWriterConfig) -> None:
        self._config = config

    def write(self, path: Path, image: Image) -> None:
        """Write a whole image.

        Raises:
            OutputError: the image does not fit into a PNG, or it cannot be written there.
        """
        with self.create(path, image, image.shape, image.dtype) as target:
            target.write_region((0,) * len(image.shape), np.asarray(image.data))

    def create(self, path: Path, like: Image, shape: tuple[int, ...], dtype: Any) -> RegionFile:
        """Start a picture; it stays in memory until it is complete, since a PNG can only be written whole.

        Raises:
            OutputError: such an image does not fit into a PNG, or it cannot be written there.
        """
        axes, dtype = like.axes, np.dtype(dtype)
        _check(path, dict(zip(axes, shape, strict=True)), dtype)
        stored = np.dtype("uint8") if dtype.kind == "b" else dtype

        def save(pixels: np.ndarray[Any, Any], beside: Path) -> None:
            picture = _plane(pixels, axes)
            PIL.Image.fromarray(picture).save(beside, format="PNG", compress_level=self._config.compression)

        return RegionFile(path, lambda beside: np.zeros(shape, stored), save)


def _check(path: Path, sizes: dict[str, int], dtype: np.dtype[Any]) -> None:
    channels = sizes.get("C", 1)
    more = [f"{axis}={sizes[axis]}" for axis in "TZ" if sizes.get(axis, 1) > 1]
    if more or channels not in (1, 3):
        raise OutputError(f"'{path}': a PNG cannot hold {', '.join(more) or f'{channels} channels'}", _OTHER)
    depths = ("bool", "uint8") if channels == 3 else ("bool", "uint8", "uint16")
    if dtype.name not in depths or not {"Y", "X"} <= set(sizes):
        kind = "RGB" if channels == 3 else "grey"
        raise OutputError(f"'{path}': a {kind} PNG cannot hold pixels of type '{dtype.name}'", _OTHER)


def _plane(pixels: np.ndarray[Any, Any], axes: str) -> np.ndarray[Any, Any]:
    """(Y, X) or (Y, X, 3)."""
    image = Image(pixels, axes)
    plane = image.to_axes("YXC" if image.sizes.get("C", 1) == 3 else "YX").data
    return np.ascontiguousarray(plane)
