"""The `image` reader: PNG, JPEG and BMP through Pillow."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_core.interfaces import ReadImage
from im2im_io.config import PictureReaderConfig
from im2im_io.lazy import Regions, lazy_array, reason

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
_GREY_ALPHA = 4  # in PNG; 2 is RGB, 6 is RGB with alpha
_GREY = {"1": "uint8", "L": "uint8", "LA": "uint8", "I;16": "uint16", "I;16B": "uint16", "I": "int32", "F": "float32"}


def is_picture(path: Path) -> bool:
    """Whether the file's content, not its name, is PNG, JPEG or BMP."""
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_SIGNATURES)
    except OSError:
        return False


def picture_reader(config: PictureReaderConfig) -> ReadImage:
    """`read(path) -> Image` with axes YX (grey) or CYX (RGB).

    An alpha channel is left out: it is no measured signal. 16 bits per channel stay 16 bits.
    """

    def read(path: Path) -> Image:
        """Read the header only.

        Raises:
            DataError: no picture, or damaged.
        """
        try:
            picture = _Picture(path, config.palette == "indices")
        except Exception as error:  # Pillow lets exceptions of its parsers through
            what = "is empty" if path.is_file() and path.stat().st_size == 0 else f"cannot be read: {reason(error)}"
            raise DataError(f"'{path.name}' {what}", "check that the file is a complete PNG, JPEG or BMP") from error
        regions = Regions(path, functools.partial(_Picture, path, config.palette == "indices"), picture)
        return Image(lazy_array(regions, regions.shape), "YX" if regions.ndim == 2 else "CYX")

    return read


class _Picture:
    """Such files can only be decoded whole."""

    def __init__(self, path: Path, indices: bool) -> None:
        self._path = path
        with PIL.Image.open(path, formats=("PNG", "JPEG", "BMP")) as picture:
            size = (picture.height, picture.width)
            self._mode = _target_mode(picture, indices)
        # Pillow halves several samples of 16 bits without a word; the PNG header has the depth and the kind of colour.
        with path.open("rb") as file:
            header = file.read(26)
        self._deep = header.startswith(_SIGNATURES[0]) and header[24] == 16 and header[25] in (_GREY_ALPHA, 2, 6)
        flat = self._mode in _GREY or self._mode == "P" or (self._deep and header[25] == _GREY_ALPHA)
        self.shape = size if flat else (3, *size)
        self.dtype = np.dtype("uint16" if self._deep else _GREY.get(self._mode, "uint8"))

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        if self._deep:
            import imagecodecs

            pixels = imagecodecs.png_decode(self._path.read_bytes())
            pixels = pixels[..., 0] if len(self.shape) == 2 else pixels[..., :3]
        else:
            with PIL.Image.open(self._path) as picture:
                pixels = np.asarray(picture if picture.mode == self._mode else picture.convert(self._mode))
        if pixels.ndim == 3:
            pixels = pixels.transpose(2, 0, 1)
        region: np.ndarray[Any, Any] = pixels[key]
        return region


def _target_mode(picture: PIL.Image.Image, indices: bool) -> str:
    """The Pillow mode to decode to: grey stays grey, everything in colour becomes RGB."""
    if picture.mode == "P" and indices:
        return "P"
    if picture.mode in ("1", "LA"):
        return "L"
    return picture.mode if picture.mode in _GREY else "RGB"
