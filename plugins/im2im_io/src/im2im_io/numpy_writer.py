"""The `numpy` writer. The file keeps pixels only: no axes, pixel size or channel names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.image import Image
from im2im_io.config import NumpyWriterConfig
from im2im_io.region_file import RegionFile, copy_image, plane_block, reserve


class NumpyWriter:
    """Writes `.npy`."""

    def __init__(self, config: NumpyWriterConfig) -> None:
        self._config = config

    def write(self, path: Path, image: Image) -> None:
        """Write a whole image, plane by plane.

        Raises:
            OutputError: it cannot be written there.
        """
        with self.create(path, image, image.shape, image.dtype) as target:
            copy_image(image, target, plane_block(image))

    def create(self, path: Path, like: Image, shape: tuple[int, ...], dtype: Any) -> RegionFile:
        """Start a file of `shape`.

        Raises:
            OutputError: it cannot be written there, or the disk cannot hold it.
        """

        def open_target(beside: Path) -> Any:
            array = np.lib.format.open_memmap(beside, "w+", np.dtype(dtype), shape)
            reserve(beside)
            return array

        return RegionFile(path, open_target, lambda array, beside: array.flush())
