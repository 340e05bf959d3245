"""Real files of many origins, against what independent readers found in them. They are not part of the repository."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core.errors import DataError
from im2im_core.image import Image

Read = Callable[..., Image]

# File: axes here, pixel size in micrometre, channel names.
TIFFS: dict[str, tuple[str, dict[str, float], tuple[str, ...]]] = {
    "FOV7_HV110_P0500510000.ome.tiff": ("YX", {}, ()),
    "xyc_8bit__nuclei_nup.tif": ("CYX", {"Y": 0.2635765, "X": 0.2635765}, ()),
    "xyzc_16bit__spots.tif": ("ZCYX", {"Z": 0.4, "Y": 0.0941344, "X": 0.0941344}, ()),
    "xyz_8bit__nucleus.tif": ("ZYX", {}, ()),
    "xyc_16bit__nuclei_golgi.tif": ("CYX", {"Y": 0.5157515, "X": 0.5157515}, ()),
    "image_3D_calibrated.tif": ("ZYX", {"Z": 0.52, "Y": 0.13, "X": 0.13}, ()),
    "multipage_rgb.tif": ("ZCYX", {}, ()),
    "nuclei_nup_CYX.ome.tiff": ("CYX", {"Y": 0.1, "X": 0.1}, ("nuclei", "nup")),
    "nuclei_nup_bigtiff_tiled.tiff": ("CYX", {}, ()),
}
ZARRS = {
    "spots_v2.ome.zarr": ("ZCYX", {"Z": 0.5, "Y": 0.1, "X": 0.1}),
    "nuclei_nup_v3.ome.zarr": ("CYX", {"Y": 0.1, "X": 0.1}),
}
CZIS = (
    "LSM880_AiryScan.czi",
    "FOV7_HV110_P0500510000.czi",
    "DAPI_GFP.czi",
    "newCZI_compressed.czi",
    "CellDivision_T3_Z5_CH2_X240_Y170_comp1.czi",
)


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@pytest.mark.parametrize("name", TIFFS)
def test_tiff(name: str, shared: Path, facts: dict[str, Any], read: Read) -> None:
    axes, pixel_size, names = TIFFS[name]
    series = facts[f"formats/{name}"]["series"][0]
    image = read("tifffile", shared / "formats" / name)
    assert (image.axes, image.channel_names) == (axes, names)
    assert image.pixel_size == pytest.approx(pixel_size, rel=1e-5)
    assert (list(image.shape), image.dtype.name) == (series["shape"], series["dtype"])
    data = image.compute()
    found = [float(data.min()), float(data.max()), float(data.sum(dtype=np.float64))]
    assert found == pytest.approx(facts[f"formats/{name}"]["series0_min_max_sum"])


@pytest.mark.parametrize("name", ZARRS)
def test_ome_zarr(name: str, shared: Path, facts: dict[str, Any], read: Read) -> None:
    axes, pixel_size = ZARRS[name]
    expected = facts[f"formats/{name}"]
    image = read("ome-zarr", shared / "formats" / name)
    assert image.axes == axes == expected["axes"].upper()
    assert image.pixel_size == pytest.approx(pixel_size)
    assert (list(image.shape), image.dtype.name) == (expected["level0_shape"], expected["dtype"])
    assert float(image.compute().sum(dtype=np.float64)) == expected["sum"]
    coarse = read("ome-zarr", shared / "formats" / name, level=1)
    assert coarse.shape[-1] == (image.shape[-1] + 1) // 2
    assert coarse.pixel_size["X"] == pytest.approx(0.2)


# The two never share an environment; each is held to the same facts in its own.
VENDORS = [pytest.param(name, marks=needs(name)) for name in ("aicsimageio", "bioio")]


@pytest.mark.parametrize("reader", VENDORS)
@pytest.mark.parametrize("name", CZIS)
def test_czi(name: str, reader: str, shared: Path, facts: dict[str, Any], read: Read) -> None:
    expected = facts[f"formats/{name}"]
    image = read(reader, shared / "formats" / name)
    box = {axis: end - start for axis, (start, end) in expected["pylibCZIrw"]["bounding_box"].items()}
    assert image.axes == "TCZYX"
    assert image.sizes == {axis: box.get(axis, 1) for axis in "TCZYX"}
    assert image.dtype.name == expected["czifile"]["dtype"]
    plane = np.asarray(image.data[0, 0, 0])
    assert float(plane.sum(dtype=np.float64)) == expected["plane_C0Z0T0_scene0"]["sum"]


@pytest.mark.parametrize("reader", VENDORS)
def test_czi_has_sizes_and_names_where_it_states_them(reader: str, shared: Path, read: Read) -> None:
    assert not read(reader, shared / "formats" / "DAPI_GFP.czi").pixel_size
    image = read(reader, shared / "formats" / "LSM880_AiryScan.czi")
    assert image.pixel_size == pytest.approx({"Z": 0.15945, "Y": 0.035298, "X": 0.035298}, rel=1e-4)
    assert image.channel_names[:2] == ("ChA-T1", "ChA-T2")


@pytest.mark.parametrize("reader", VENDORS)
@pytest.mark.parametrize("scene", [0, 1, 2])
def test_lif_of_xz_scans(scene: int, reader: str, shared: Path, facts: dict[str, Any], read: Read) -> None:
    path = shared / "formats" / "testdata_2channel_xz.lif"
    expected = facts["formats/testdata_2channel_xz.lif"]["images"][scene]
    image = read(reader, path, scene=scene)
    assert (list(image.axes), list(image.shape)) == (expected["dims"], expected["shape"])
    assert image.dtype.name == expected["dtype"]
    assert image.pixel_size["X"] == pytest.approx(0.1402798 if scene < 2 else 0.1026972, rel=1e-5)
    data = image.compute()
    assert data.std() > 0
    if scene == 0:
        assert float(data.sum(dtype=np.float64)) == 5529504
    assert np.array_equal(np.asarray(image.data[..., 10:20, 5:7]), data[..., 10:20, 5:7])
    assert np.array_equal(read(reader, path, scene=expected["name"]).compute(), data)


@pytest.mark.parametrize("name", ["empty.tiff", "header_only.tiff", "truncated_half.tiff", "text_named.tiff"])
def test_damaged_tiff_is_refused(name: str, shared: Path, read: Read) -> None:
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read("tifffile", shared / "malformed" / name)


def test_corrupt_strip_is_named_when_it_is_decoded(shared: Path, read: Read) -> None:
    image = read("tifffile", shared / "malformed" / "corrupt_deflate.tiff")
    with pytest.raises(DataError, match=r"corrupt_deflate\.tiff"):
        image.compute()


def test_png_under_the_name_of_a_tiff_is_read(shared: Path, read: Read) -> None:
    image = read("tifffile", shared / "malformed" / "png_named.tiff")
    plane = read("tifffile", shared / "formats" / "xyc_8bit__nuclei_nup.tif").data[0]
    assert image.axes == "YX"
    assert image.compute().any()
    assert image.shape == plane.shape


def test_nan_and_constant_images_are_readable(shared: Path, read: Read) -> None:
    assert np.isnan(read("tifffile", shared / "malformed" / "nan_inside.tiff").compute()).any()
    assert read("tifffile", shared / "malformed" / "constant.tiff").compute().std() == 0


@pytest.mark.parametrize("name", ["mismatch_IM.tiff", "mismatch_GT.tiff", "orphan_IM.tiff"])
def test_files_that_are_only_badly_paired_are_readable(name: str, shared: Path, read: Read) -> None:
    assert read("tifffile", shared / "malformed" / name).compute().std() > 0


def test_zarr_without_ome_metadata_is_refused(shared: Path, read: Read) -> None:
    with pytest.raises(DataError, match=r"no_ome_metadata\.zarr.*multiscales"):
        read("ome-zarr", shared / "malformed" / "no_ome_metadata.zarr")


@pytest.mark.parametrize("reader", VENDORS)
def test_cut_off_czi_is_refused(reader: str, shared: Path, read: Read) -> None:
    reason = "Not enough data" if reader == "aicsimageio" else "cannot be opened"
    with pytest.raises(DataError, match=rf"truncated\.czi.*{reason}"):
        read(reader, shared / "malformed" / "truncated.czi")


@pytest.mark.parametrize("writer_name", ["ome-tiff", "ome-zarr"])
@pytest.mark.parametrize("name", ["xyzc_16bit__spots.tif", "nuclei_nup_CYX.ome.tiff", "spots_v2.ome.zarr"])
def test_real_images_survive_writing(
    name: str, writer_name: str, shared: Path, read: Read, writer: Callable, tmp_path: Path
) -> None:
    image = read("ome-zarr" if name.endswith("zarr") else "tifffile", shared / "formats" / name)
    path = tmp_path / ("a.ome.tiff" if writer_name == "ome-tiff" else "a.ome.zarr")
    writer(writer_name).write(path, image)
    back = read("tifffile" if writer_name == "ome-tiff" else "ome-zarr", path)
    assert (back.axes, back.channel_names, back.dtype) == (image.axes, image.channel_names, image.dtype)
    assert back.pixel_size == pytest.approx(dict(image.pixel_size))
    assert np.array_equal(back.compute(), image.compute())
