from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core.errors import OutputError
from im2im_core.image import Image

Read = Callable[..., Image]
Pixels = Callable[..., np.ndarray]

FORMATS = {
    "ome-tiff": ("tifffile", "a.ome.tiff"),
    "ome-zarr": ("ome-zarr", "a.ome.zarr"),
    "numpy": ("numpy", "a.npy"),
    "png": ("image", "a.png"),
}


def fill(target: Any, data: np.ndarray, step: int = 32) -> None:
    for y in range(0, data.shape[-2], step):
        for x in range(0, data.shape[-1], step):
            for outer in np.ndindex(*data.shape[:-2]):
                piece = data[(*outer, slice(y, y + step), slice(x, x + step))]
                target.write_region((*outer, y, x), piece.reshape((1,) * len(outer) + piece.shape))


@pytest.mark.parametrize("name", FORMATS)
def test_regions_make_up_the_file(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels, name: str) -> None:
    reader, file = FORMATS[name]
    like = Image(pixels(70, 90), "YX", {"Y": 0.2, "X": 0.3})
    data = pixels(70, 90, dtype="uint8")
    target = writer(name).create(tmp_path / file, like, data.shape, data.dtype)
    fill(target, data)
    assert not (tmp_path / file).exists()
    target.close()
    assert [path.name for path in tmp_path.iterdir()] == [file]
    image = read(reader, tmp_path / file)
    assert np.array_equal(image.compute(), data)
    if name.startswith("ome"):
        assert image.pixel_size == pytest.approx({"Y": 0.2, "X": 0.3})


@pytest.mark.parametrize("name", ["ome-tiff", "ome-zarr"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("axes", ["CZYX", "ZCYX", "CYX"])
def test_axes_sizes_and_names_are_those_of_the_model_image(
    tmp_path: Path, read: Read, writer: Callable, pixels: Pixels, name: str, dtype: str, axes: str
) -> None:
    reader, file = FORMATS[name]
    data = pixels(*({"C": 3, "Z": 5, "Y": 40, "X": 50}[axis] for axis in axes), dtype=dtype)
    pixel_size = {axis: 0.5 for axis in axes if axis != "C"}
    like = Image(data, axes, pixel_size, ("a", "b", "c"))
    target = writer(name).create(tmp_path / file, like, data.shape, data.dtype)
    fill(target, data)
    target.close()
    image = read(reader, tmp_path / file)
    assert (image.axes, image.channel_names, image.dtype) == (axes, ("a", "b", "c"), data.dtype)
    assert image.pixel_size == pytest.approx(pixel_size)
    assert np.array_equal(image.compute(), data)


def test_fewer_channels_than_the_model_image_lose_the_names(
    tmp_path: Path, read: Read, writer: Callable, pixels: Pixels
) -> None:
    like = Image(pixels(2, 40, 50), "CYX", {"Y": 0.5, "X": 0.5}, ("a", "b"))
    for name in ("ome-tiff", "ome-zarr"):
        reader, file = FORMATS[name]
        writer(name).create(tmp_path / file, like, (1, 40, 50), "uint16").close()
        image = read(reader, tmp_path / file)
        assert (image.axes, image.shape, image.channel_names) == ("CYX", (1, 40, 50), ())
        assert not image.compute().any()


def test_plane_may_lie_anywhere_in_the_axes(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels) -> None:
    data = pixels(40, 50, 2)
    target = writer("ome-tiff").create(tmp_path / "a.tif", Image(data, "YXC"), data.shape, data.dtype)
    target.write_region((0, 0, 0), data)
    target.close()
    image = read("tifffile", tmp_path / "a.tif")
    assert image.axes == "CYX"
    assert np.array_equal(image.compute(), data.transpose(2, 0, 1))


@pytest.mark.parametrize("name", FORMATS)
def test_abort_leaves_nothing(tmp_path: Path, writer: Callable, pixels: Pixels, name: str) -> None:
    data = pixels(70, 90, dtype="uint8")
    target = writer(name).create(tmp_path / FORMATS[name][1], Image(data, "YX"), data.shape, data.dtype)
    target.write_region((0, 0), data[:32])
    target.abort()
    target.abort()
    target.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="closed"):
        target.write_region((0, 0), data)


@pytest.mark.parametrize("name", FORMATS)
def test_abort_keeps_what_was_there_before(
    tmp_path: Path, read: Read, writer: Callable, pixels: Pixels, name: str
) -> None:
    reader, file = FORMATS[name]
    data = pixels(70, 90, dtype="uint8")
    writer(name).write(tmp_path / file, Image(data, "YX"))
    target = writer(name).create(tmp_path / file, Image(data, "YX"), data.shape, data.dtype)
    target.write_region((0, 0), data[:32] // 2)
    target.abort()
    assert np.array_equal(read(reader, tmp_path / file).compute(), data)


@pytest.mark.parametrize("name", FORMATS)
def test_region_outside_is_an_error_and_leaves_nothing(
    tmp_path: Path, writer: Callable, pixels: Pixels, name: str
) -> None:
    data = pixels(70, 90, dtype="uint8")
    target = writer(name).create(tmp_path / FORMATS[name][1], Image(data, "YX"), data.shape, data.dtype)
    with pytest.raises(ValueError, match="outside"):
        target.write_region((60, 0), data)
    assert not list(tmp_path.iterdir())
