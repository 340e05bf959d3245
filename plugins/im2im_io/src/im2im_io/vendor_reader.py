"""The `aicsimageio` and `bioio` readers, for the formats of microscope vendors."""

from __future__ import annotations

import functools
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.errors import DataError
from im2im_core.image import AXES, Image
from im2im_core.interfaces import ReadImage
from im2im_io.axes import channels_before_plane
from im2im_io.config import VendorReaderConfig
from im2im_io.lazy import Regions, lazy_array, reason
from im2im_io.tiff_metadata import usable_names

logger = logging.getLogger(__name__)

_OPENS = "check that the file is complete and opens in other software"


@dataclass(frozen=True)
class Scene:
    """One opened scene of a file.

    Attributes:
        data: a dask array that decodes one plane at a time.
        dims: one letter per dimension; 'S' are RGB samples.
        pixel_size: micrometre by axis.
        names: of the channels.
    """

    data: Any
    dims: str
    pixel_size: dict[str, float]
    names: list[str]


OpenScene = Callable[[Path, int | str], Scene]


def aicsimageio_reader(config: VendorReaderConfig) -> ReadImage:
    """`read(path) -> Image` through aicsimageio.

    Raises:
        DataError: it is not installed.
    """
    if find_spec("aicsimageio") is None:
        raise DataError("aicsimageio is not installed", 'pip install "im2im-io[aicsimageio]"')
    from im2im_io.aicsimageio_files import open_scene

    return _reader(config, open_scene)


def bioio_reader(config: VendorReaderConfig) -> ReadImage:
    """`read(path) -> Image` through bioio, which needs an environment without aicsimageio.

    Raises:
        DataError: it is not installed.
    """
    if find_spec("bioio") is None:
        # No hint: where both are missing, the one of aicsimageio is the line to follow.
        raise DataError('bioio is not installed; pip install "im2im-io[bioio]", never beside aicsimageio')
    from im2im_io.bioio_files import open_scene

    return _reader(config, open_scene)


def check_scene(path: Path, scene: int | str, names: Sequence[str]) -> int:
    """The position of a scene that is given by position or name.

    Raises:
        DataError: there is no such scene.
    """
    if isinstance(scene, str) and scene in names:
        return list(names).index(scene)
    if isinstance(scene, int) and 0 <= scene < len(names):
        return scene
    listed = ", ".join(f"{index} '{name}'" for index, name in enumerate(names))
    raise DataError(f"'{path.name}' has no scene '{scene}'", f"its scenes are {listed}")


def scene_of(container: Any, path: Path, scene: int | str) -> Scene:
    """A scene of an AICSImage or a BioImage."""
    container.set_scene(check_scene(path, scene, [str(name) for name in container.scenes]))
    array, original = container.xarray_dask_data, container.reader.dims
    dims = [str(dim) for dim in array.dims]
    lost = [dim for dim in original.order if dim not in (*dims, "S", "M") and original[dim][0] > 1]
    if lost:
        logger.warning("'%s': only the first of %s is read", path, ", ".join(f"{original[d][0]} '{d}'" for d in lost))
    # RGB samples beside a single channel leave no need for the channel axis.
    spare = {"C"} if "S" in dims and "C" in dims else set(dims) - set(AXES) - {"S"}
    data = array.data[tuple(0 if dim in spare else slice(None) for dim in dims)]
    sizes = {axis: getattr(container.physical_pixel_sizes, axis, None) for axis in "ZYX"}
    return Scene(
        data,
        "".join(dim for dim in dims if dim not in spare),
        # The libraries say 0 or None where a file has no size.
        {axis: float(size) for axis, size in sizes.items() if size and float(size) > 0},
        [str(name) for name in container.channel_names or []],
    )


def _reader(config: VendorReaderConfig, open_scene: OpenScene) -> ReadImage:
    def read(path: Path) -> Image:
        """Read the metadata only; planes are decoded when a region is asked for.

        Raises:
            DataError: damaged, of a format that needs another package, or without the wanted scene.
        """
        try:
            source = _Source(path, config.scene, open_scene)
        except DataError:
            raise
        except Exception as error:  # each vendor's library has exceptions of its own
            install = re.search(r"pip install ([^`'\"\s]+)", str(error))
            if install is None:
                raise DataError(f"'{path.name}' cannot be opened: {reason(error)}", _OPENS) from error
            raise DataError(
                f"'{path.name}' cannot be opened: the package for this format is missing, or the file is damaged",
                f'if the file is complete: pip install "{install.group(1)}"',
            ) from error
        if 0 in source.shape:
            raise DataError(f"'{path.name}' holds no pixels", _OPENS)
        regions = Regions(path, functools.partial(_Source, path, config.scene, open_scene), source)
        data, axes = channels_before_plane(lazy_array(regions, source.chunks), source.scene.dims.replace("S", "C"))
        channels = data.shape[axes.index("C")] if "C" in axes else 1
        pixel_size = {axis: size for axis, size in source.scene.pixel_size.items() if axis in axes}
        return Image(data, axes, pixel_size, usable_names(source.scene.names, channels))

    return read


class _Source:
    """The pixels of one scene. Its dask graph opens the file for each plane, and is computed without threads."""

    def __init__(self, path: Path, scene: int | str, open_scene: OpenScene) -> None:
        with _quiet():
            self.scene = open_scene(path, scene)
        self.shape, self.dtype = self.scene.data.shape, self.scene.data.dtype
        self.chunks = tuple(max(lengths, default=1) for lengths in self.scene.data.chunks)

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        with _quiet():
            region: np.ndarray[Any, Any] = self.scene.data[key].compute(scheduler="synchronous")
        return region


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop warnings of deprecations and leaks inside the vendors' libraries, of which a user can mend none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=ResourceWarning)
        yield
