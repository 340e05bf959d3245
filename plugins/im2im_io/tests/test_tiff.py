from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_io import tiff_metadata

Read = Callable[..., Image]
Pixels = Callable[..., np.ndarray]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_plain_tiff(
    tmp_path: Path, read: Read, pixels: Pixels, byteorder: str, compression: str | None, tile: Any
) -> None:
    data = pixels(150, 170)
    tifffile.imwrite(tmp_path / "a.tif", data, byteorder=byteorder, compression=compression, tile=tile)
    image = read("tifffile", tmp_path / "a.tif")
    assert image.axes == "YX"
    assert image.dtype == np.uint16
    assert np.array_equal(image.compute(), data)
    assert np.array_equal(np.asarray(image.data[40:140, 7:9]), data[40:140, 7:9])


def test_contiguous_pixels_are_memory_mapped_and_packed_ones_are_lazy(
    tmp_path: Path, read: Read, pixels: Pixels
) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", pixels(64, 64))
    tifffile.imwrite(tmp_path / "packed.tif", pixels(64, 64), compression="zlib")
    assert isinstance(read("tifffile", tmp_path / "plain.tif").data, np.memmap)
    assert isinstance(read("tifffile", tmp_path / "packed.tif").data, da.Array)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_imagej_hyperstack(tmp_path: Path, read: Read, pixels: Pixels, byteorder: str) -> None:
    data = pixels(5, 2, 40, 50)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        imagej=True,
        byteorder=byteorder,
        resolution=(1 / 0.25, 1 / 0.125),
        metadata={"axes": "ZCYX", "spacing": 2.0, "unit": "um"},
    )
    image = read("tifffile", tmp_path / "a.tif")
    assert (image.axes, image.dtype) == ("ZCYX", np.uint16)
    assert image.pixel_size == pytest.approx({"Z": 2.0, "Y": 0.125, "X": 0.25})
    assert np.array_equal(image.compute(), data)


def test_imagej_slice_labels_name_the_channels(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    metadata = {"axes": "CYX", "Labels": ["DAPI", "GFP"]}
    tifffile.imwrite(tmp_path / "a.tif", pixels(2, 40, 50), imagej=True, metadata=metadata)
    assert read("tifffile", tmp_path / "a.tif").channel_names == ("DAPI", "GFP")


@pytest.mark.parametrize("bigtiff", [False, True])
def test_ome_tiff(tmp_path: Path, read: Read, pixels: Pixels, bigtiff: bool) -> None:
    data = pixels(3, 2, 5, 40, 50)
    metadata = {
        "axes": "TCZYX",
        **{"PhysicalSizeX": 65, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.07, "PhysicalSizeYUnit": "µm"},
        **{"PhysicalSizeZ": 0.3, "Channel": {"Name": ["DAPI", "GFP"]}},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, metadata=metadata, bigtiff=bigtiff, compression="zlib")
    image = read("tifffile", tmp_path / "a.ome.tif")
    assert image.axes == "TCZYX"
    assert image.pixel_size == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065})
    assert image.channel_names == ("DAPI", "GFP")
    assert np.array_equal(image.compute(), data)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_rgb_samples_are_channels(
    tmp_path: Path, read: Read, pixels: Pixels, planar: str, compression: str | None
) -> None:
    data = pixels(3, 40, 50, dtype="uint8")
    stored = data.transpose(1, 2, 0) if planar == "contig" else data
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, compression=compression)
    image = read("tifffile", tmp_path / "a.tif")
    assert image.axes == "CYX"
    assert np.array_equal(image.compute(), data)


def test_pages_without_metadata_are_a_stack(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    data = pixels(7, 40, 50)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in data:
            tif.write(plane, metadata=None, contiguous=False, compression="zlib")
    image = read("tifffile", tmp_path / "a.tif")
    assert image.axes == "ZYX"
    assert np.array_equal(image.compute(), data)
    assert read("tifffile", tmp_path / "a.tif", axes="TYX").axes == "TYX"


def test_one_of_several_images(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    first, second = pixels(40, 50), pixels(3, 60, 70)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(first, metadata={"Name": "left"}, photometric="minisblack", compression="zlib")
        metadata = {"Name": "right", "axes": "ZYX", "PhysicalSizeX": 0.5}
        tif.write(second, metadata=metadata, photometric="minisblack", compression="zlib")
    assert np.array_equal(read("tifffile", tmp_path / "a.ome.tif").compute(), first)
    for scene in (1, "right"):
        image = read("tifffile", tmp_path / "a.ome.tif", scene=scene)
        assert (image.axes, image.pixel_size) == ("ZYX", {"X": 0.5})
        assert np.array_equal(image.compute(), second)
    with pytest.raises(DataError, match="no scene 'middle'") as caught:
        read("tifffile", tmp_path / "a.ome.tif", scene="middle")
    assert "0 'left', 1 'right'" in caught.value.hint


def test_finest_level_of_a_pyramid(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    data = pixels(256, 256)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(data, subifds=1, tile=(64, 64), photometric="minisblack")
        tif.write(data[::2, ::2], subfiletype=1, tile=(64, 64), photometric="minisblack")
    assert np.array_equal(read("tifffile", tmp_path / "a.ome.tif").compute(), data)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "float32", "float64"])
def test_pixel_types(tmp_path: Path, read: Read, pixels: Pixels, dtype: str) -> None:
    data = pixels(40, 50) > 30000 if dtype == "bool" else pixels(40, 50, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, compression=None if dtype == "bool" else "zlib")
    image = read("tifffile", tmp_path / "a.tif")
    assert image.dtype == np.dtype(dtype)
    assert np.array_equal(image.compute(), data)


def test_nan_and_constant_images_are_readable(tmp_path: Path, read: Read) -> None:
    data = np.full((40, 50), 7, np.float32)
    tifffile.imwrite(tmp_path / "constant.tif", data)
    data[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", data)
    assert (read("tifffile", tmp_path / "constant.tif").compute() == 7).all()
    assert np.argwhere(np.isnan(read("tifffile", tmp_path / "nan.tif").compute())).tolist() == [[3, 4]]


def test_resolution_counts_when_it_is_metric(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    for name, unit in (("metric", "CENTIMETER"), ("printer", "INCH")):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels(8, 8), resolution=(20000, 40000), resolutionunit=unit)
    assert read("tifffile", tmp_path / "metric.tif").pixel_size == pytest.approx({"Y": 0.25, "X": 0.5})
    assert read("tifffile", tmp_path / "printer.tif").pixel_size == {}


def test_lsm_header_is_in_metre() -> None:
    found = tiff_metadata.from_lsm({"VoxelSizeX": 1e-7, "VoxelSizeY": 2e-7, "VoxelSizeZ": 0})
    assert found.pixel_size == pytest.approx({"X": 0.1, "Y": 0.2})


def test_one_pixel_per_centimetre_means_not_set() -> None:
    tags = {name: SimpleNamespace(value=(1, 1)) for name in ("XResolution", "YResolution")}
    assert tiff_metadata.from_resolution({**tags, "ResolutionUnit": SimpleNamespace(value=3)}).pixel_size == {}


def test_generated_names_of_channels_are_no_names() -> None:
    assert tiff_metadata.usable_names(["Channel:0:0", "Channel:0:1"], 2) == ()
    assert tiff_metadata.usable_names(["", ""], 2) == ()
    assert tiff_metadata.usable_names(["DAPI"], 2) == ()
    assert tiff_metadata.usable_names(["DAPI", "Channel:1"], 2) == ("DAPI", "Channel:1")


def test_one_image_in_several_ome_tiffs(tmp_path: Path, read: Read, pixels: Callable[..., Any]) -> None:
    """A file for each channel; whichever is named, the whole image is read."""
    data = pixels(2, 3, 40, 50)
    ids = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"]
    where = "".join(
        f'<TiffData IFD="{z}" FirstC="{c}" FirstZ="{z}" FirstT="0" PlaneCount="1">'
        f'<UUID FileName="part{c}.ome.tif">urn:uuid:{ids[c]}</UUID></TiffData>'
        for c in range(2)
        for z in range(3)
    )
    for channel in range(2):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{ids[channel]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="50" SizeY="40" SizeZ="3" SizeC="2" SizeT="1" PhysicalSizeX="0.1" PhysicalSizeY="0.1" '
            'PhysicalSizeZ="0.3"><Channel ID="Channel:0:0" Name="DAPI" SamplesPerPixel="1"/>'
            f'<Channel ID="Channel:0:1" Name="GFP" SamplesPerPixel="1"/>{where}</Pixels></Image></OME>'
        )
        path = tmp_path / f"part{channel}.ome.tif"
        tifffile.imwrite(path, data[channel], description=xml, metadata=None, photometric="minisblack")
    for channel in range(2):
        image = read("tifffile", tmp_path / f"part{channel}.ome.tif")
        assert image.axes == "CZYX"
        assert image.pixel_size == pytest.approx({"Z": 0.3, "Y": 0.1, "X": 0.1})
        assert image.channel_names == ("DAPI", "GFP")
        np.testing.assert_array_equal(image.compute(), data)
