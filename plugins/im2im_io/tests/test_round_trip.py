from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile

from im2im_core.errors import DataError, OutputError
from im2im_core.image import Image
from im2im_io import tiff_writer

Read = Callable[..., Image]
Pixels = Callable[..., np.ndarray]

SIZES = {"T": 3, "C": 2, "Z": 5, "Y": 70, "X": 90}
PIXEL_SIZE = {"Z": 0.3, "Y": 0.11, "X": 0.12}
FORMATS = {"ome-tiff": ("tifffile", ".ome.tiff"), "ome-zarr": ("ome-zarr", ".ome.zarr")}


def described(data: Any, axes: str, names: tuple[str, ...] = ("DAPI", "nuclear pore, 647 nm <µ>")) -> Image:
    pixel_size = {axis: size for axis, size in PIXEL_SIZE.items() if axis in axes}
    return Image(data, axes, pixel_size, names if "C" in axes else ())


def there_and_back(tmp_path: Path, read: Read, writer: Callable, name: str, image: Image, **settings: Any) -> Image:
    reader, suffix = FORMATS[name]
    path = tmp_path / f"a{suffix}"
    writer(name, **settings).write(path, image)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    back = read(reader, path)
    assert back.axes == image.axes
    assert back.pixel_size == pytest.approx(dict(image.pixel_size))
    assert back.channel_names == image.channel_names
    assert back.dtype == image.dtype
    assert np.array_equal(back.compute(), image.compute(), equal_nan=image.dtype.kind == "f")
    return back


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("axes", ["YX", "CYX", "ZYX", "CZYX", "ZCYX", "TCZYX", "CTZYX"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_everything_comes_back(
    tmp_path: Path, read: Read, writer: Callable, pixels: Pixels, name: str, axes: str, dtype: str
) -> None:
    data = pixels(*(SIZES[axis] for axis in axes), dtype=dtype)
    there_and_back(tmp_path, read, writer, name, described(data, axes))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("axes", ["CYX", "CZYX", "TCZYX"])
def test_axes_of_length_one_come_back(
    tmp_path: Path, read: Read, writer: Callable, pixels: Pixels, name: str, axes: str
) -> None:
    data = pixels(*([1] * (len(axes) - 2)), 40, 50)
    there_and_back(tmp_path, read, writer, name, described(data, axes, ("nuclei",)))


@pytest.mark.parametrize("name", FORMATS)
def test_large_labels_and_nan_come_back(tmp_path: Path, read: Read, writer: Callable, name: str) -> None:
    labels = np.zeros((40, 50), np.uint32)
    labels[3:9, 3:9] = 2**31 + 5
    there_and_back(tmp_path, read, writer, name, Image(labels, "YX"))
    (tmp_path / "second").mkdir()
    values = np.full((40, 50), np.nan, np.float32)
    there_and_back(tmp_path / "second", read, writer, name, Image(values, "YX"))


@pytest.mark.parametrize("tile_from", [64, 4096])
def test_rgb_is_written_as_rgb(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels, tile_from: int) -> None:
    image = Image(pixels(3, 70, 90, dtype="uint8"), "CYX", {"Y": 0.5, "X": 0.5})
    there_and_back(tmp_path, read, writer, "ome-tiff", image, tile_from=tile_from, tile=32)
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tif:
        assert tif.pages[0].photometric.name == "RGB"


def test_named_channels_are_not_written_as_rgb(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels) -> None:
    image = Image(pixels(3, 70, 90, dtype="uint8"), "CYX", {}, ("DAPI", "GFP", "RFP"))
    there_and_back(tmp_path, read, writer, "ome-tiff", image)


@pytest.mark.parametrize("axes", ["CYX", "ZCYX", "YX"])
@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzw", "none"])
def test_tiles(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels, axes: str, compression: str) -> None:
    image = described(pixels(*(SIZES[axis] for axis in axes)), axes)
    there_and_back(tmp_path, read, writer, "ome-tiff", image, tile_from=80, tile=32, compression=compression)
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tif:
        page = tif.pages[0]
        assert (page.is_tiled, page.tilewidth) == (True, 32)
        assert page.compression.name == {"zlib": "ADOBE_DEFLATE", "none": "NONE"}.get(compression, compression.upper())


def test_lazy_images_are_written_without_being_loaded_whole(tmp_path: Path, read: Read, writer: Callable) -> None:
    largest = []

    def block(block_id: tuple[int, ...]) -> np.ndarray:
        largest.append(block_id)
        return np.full((1, 64, 256), block_id[0] * 10 + block_id[1], np.uint16)

    lazy = da.map_blocks(block, chunks=((1,) * 4, (64,) * 4, (256,)), dtype=np.uint16, meta=np.empty((0, 0, 0), "u2"))
    for name, settings in (("ome-tiff", {"tile": 64, "tile_from": 200}), ("ome-zarr", {"chunk": 64})):
        largest.clear()
        (tmp_path / name).mkdir()
        there_and_back(tmp_path / name, read, writer, name, Image(lazy, "ZYX"), **settings)
        first_pass = largest[:16]
        assert first_pass == [(z, y, 0) for z in range(4) for y in range(4)]  # one after the other, each once


def test_big_files_are_bigtiff(tmp_path: Path, writer: Callable, pixels: Pixels, monkeypatch: Any) -> None:
    image = Image(pixels(70, 90), "YX")
    for limit, big in ((70 * 90 * 2, False), (70 * 90 * 2 - 1, True)):
        monkeypatch.setattr(tiff_writer, "CLASSIC_LIMIT", limit)
        writer("ome-tiff").write(tmp_path / "a.tif", image)
        with tifffile.TiffFile(tmp_path / "a.tif") as tif:
            assert tif.is_bigtiff == big


def test_physical_sizes_name_their_unit(tmp_path: Path, writer: Callable, pixels: Pixels) -> None:
    writer("ome-tiff").write(tmp_path / "a.ome.tif", described(pixels(5, 40, 50), "ZYX"))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        xml = tif.ome_metadata
        assert 'PhysicalSizeZ="0.3"' in xml
        assert xml.count("µm") == 3
        assert tif.pages[0].tags["ResolutionUnit"].value == 3


def test_ngff_metadata_are_those_of_version_4(tmp_path: Path, writer: Callable, pixels: Pixels) -> None:
    writer("ome-zarr", chunk=32, chunk_z=2).write(tmp_path / "a.zarr", described(pixels(2, 5, 40, 50), "CZYX"))
    attributes = json.loads((tmp_path / "a.zarr/.zattrs").read_text())
    multiscale = attributes["multiscales"][0]
    assert multiscale["version"] == "0.4"
    assert [axis["type"] for axis in multiscale["axes"]] == ["channel", "space", "space", "space"]
    assert multiscale["axes"][1] == {"name": "z", "type": "space", "unit": "micrometer"}
    assert multiscale["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1, 0.3, 0.11, 0.12]}]
    assert attributes["omero"]["channels"][0]["label"] == "DAPI"
    array = json.loads((tmp_path / "a.zarr/0/.zarray").read_text())
    assert (array["chunks"], array["dimension_separator"]) == ([1, 2, 32, 32], "/")


@pytest.mark.parametrize(
    ("shape", "axes", "dtype", "back"),
    [
        ((40, 50), "YX", "uint8", "YX"),
        ((40, 50), "YX", "uint16", "YX"),
        ((3, 40, 50), "CYX", "uint8", "CYX"),
        ((1, 1, 40, 50), "CZYX", "uint16", "YX"),
    ],
)
def test_png(
    tmp_path: Path, read: Read, writer: Callable, pixels: Pixels, shape: Any, axes: str, dtype: str, back: str
) -> None:
    image = Image(pixels(*shape, dtype=dtype), axes)
    writer("png").write(tmp_path / "a.png", image)
    found = read("image", tmp_path / "a.png")
    assert found.axes == back
    assert np.array_equal(found.compute(), image.to_axes(back).compute())


@pytest.mark.parametrize(
    ("shape", "axes", "dtype", "named"),
    [
        ((40, 50), "YX", "float32", "float32"),
        ((40, 50), "YX", "uint32", "uint32"),
        ((3, 40, 50), "CYX", "uint16", "uint16"),
        ((2, 40, 50), "CYX", "uint8", "2 channels"),
        ((5, 40, 50), "ZYX", "uint8", "Z=5"),
    ],
)
def test_png_refuses_what_it_cannot_hold(
    tmp_path: Path, writer: Callable, pixels: Pixels, shape: Any, axes: str, dtype: str, named: str
) -> None:
    with pytest.raises(OutputError, match=named) as caught:
        writer("png").write(tmp_path / "a.png", Image(pixels(*shape, dtype=dtype), axes))
    assert ".ome.tiff" in caught.value.hint
    assert "a.png" in caught.value.message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float16", "complex64"])
def test_ome_tiff_refuses_types_it_does_not_know(tmp_path: Path, writer: Callable, dtype: str) -> None:
    image = Image(np.zeros((40, 50), dtype), "YX")
    with pytest.raises(OutputError, match=dtype) as caught:
        writer("ome-tiff").write(tmp_path / "a.tif", image)
    assert "uint32" in caught.value.hint
    with pytest.raises(OutputError, match=dtype):
        writer("ome-tiff").create(tmp_path / "a.tif", image, image.shape, dtype)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ome-tiff", "png"])
def test_masks_become_zeros_and_ones(tmp_path: Path, read: Read, writer: Callable, name: str) -> None:
    path = tmp_path / ("a.tif" if name == "ome-tiff" else "a.png")
    writer(name).write(path, Image(np.eye(20, dtype=bool), "YX"))
    assert np.array_equal(read("tifffile" if name == "ome-tiff" else "image", path).compute(), np.eye(20))


def test_numpy_keeps_pixels(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels) -> None:
    image = described(pixels(2, 5, 40, 50), "CZYX")
    writer("numpy").write(tmp_path / "a.npy", image)
    assert np.array_equal(np.load(tmp_path / "a.npy"), image.compute())
    assert read("numpy", tmp_path / "a.npy").axes == "CZYX"


def test_file_is_replaced_only_by_a_complete_one(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels) -> None:
    good = pixels(40, 50)
    broken = da.map_blocks(_raise, chunks=((40,), (50,)), dtype=np.uint16, meta=np.empty((0, 0), np.uint16))
    for name, (reader, suffix) in FORMATS.items():
        path = tmp_path / f"{name}{suffix}"
        writer(name).write(path, Image(good, "YX"))
        with pytest.raises(DataError, match="decode"):
            writer(name).write(path, Image(broken, "YX"))
        assert np.array_equal(read(reader, path).compute(), good)
        writer(name).write(path, Image(good + 1, "YX"))
        assert np.array_equal(read(reader, path).compute(), good + 1)
    assert len(list(tmp_path.iterdir())) == 2


def _raise() -> np.ndarray:
    raise DataError("cannot decode the source")
