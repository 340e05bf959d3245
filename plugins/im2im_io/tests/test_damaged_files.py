"""Twins of the damaged files in `shared`, and more of their kind, made here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as Picture

from im2im_core.errors import DataError
from im2im_core.image import Image

Read = Callable[..., Image]
Pixels = Callable[..., np.ndarray]


def refused(read: Read, reader: str, path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read(reader, path)
    assert path.name in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        *[("tifffile", "a.tiff"), ("image", "a.png"), ("numpy", "a.npy")],
        *[(vendor, f"a{suffix}") for vendor in ("aicsimageio", "bioio") for suffix in (".czi", ".lif")],
    ],
)
def test_empty_file(tmp_path: Path, read: Read, reader: str, name: str) -> None:
    if reader in ("aicsimageio", "bioio"):
        pytest.importorskip(reader, reason=f"{reader} is not installed")
    (tmp_path / name).touch()
    refused(read, reader, tmp_path / name)


def test_empty_tiff_is_called_empty(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.tiff").touch()
    assert "empty" in refused(read, "tifffile", tmp_path / "a.tiff").message


@pytest.mark.parametrize("header", [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"])
def test_header_without_an_image(tmp_path: Path, read: Read, header: bytes) -> None:
    (tmp_path / "a.tiff").write_bytes(header)
    refused(read, "tifffile", tmp_path / "a.tiff")


def test_text_under_the_name_of_a_tiff(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.tiff").write_text("these are no pixels")
    assert "not a TIFF" in refused(read, "tifffile", tmp_path / "a.tiff").message


def test_picture_under_the_name_of_a_tiff_is_read(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    data = pixels(30, 40, dtype="uint8")
    Picture.fromarray(data).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tiff")
    assert np.array_equal(read("tifffile", tmp_path / "a.tiff").compute(), data)


@pytest.mark.parametrize("kind", ["plain", "imagej", "ome", "packed", "tiled", "pages"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_cut_off_tiff_is_refused_when_opened(
    tmp_path: Path, read: Read, pixels: Pixels, kind: str, kept: float
) -> None:
    path, data = tmp_path / "a.tif", pixels(8, 90, 100)
    if kind == "pages":
        with tifffile.TiffWriter(path) as tif:
            for plane in data:
                tif.write(plane, metadata=None, contiguous=False, compression="zlib")
    else:
        settings = {
            "plain": {"photometric": "minisblack"},
            "imagej": {"imagej": True},
            "ome": {"ome": True, "compression": "zlib", "photometric": "minisblack"},
            "packed": {"compression": "zlib", "photometric": "minisblack"},
            "tiled": {"tile": (32, 32), "compression": "zlib", "photometric": "minisblack"},
        }[kind]
        tifffile.imwrite(path, data, **settings)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(read, "tifffile", path)


def test_corrupt_strip_is_named_when_it_is_decoded(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(256, 256), compression="zlib", rowsperstrip=64)
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[2]
    content = bytearray(path.read_bytes())
    content[offset + 20 : offset + 84] = bytes(64)
    path.write_bytes(content)
    image = read("tifffile", path)
    assert image.shape == (256, 256)
    with pytest.raises(DataError, match=r"a\.tif"):
        image.compute()


def test_missing_file_of_a_series_is_no_black_plane(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels(2, 40, 50), ome=True, metadata={"axes": "CYX"}, photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        xml = tif.ome_metadata
        uuid = xml.split('UUID="')[1].split('"')[0]
    blocks = (
        f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="a.ome.tif">{uuid}</UUID></TiffData>'
        '<TiffData IFD="0" FirstC="1" PlaneCount="1"><UUID FileName="b.ome.tif">urn:uuid:1</UUID></TiffData>'
    )
    xml = xml.split("<TiffData")[0] + blocks + "</Pixels></Image></OME>"
    tifffile.tiffcomment(path, xml.encode())
    assert "1 of the 2 planes" in refused(read, "tifffile", path).message


def test_cut_off_picture_fails_when_it_is_decoded(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    Picture.fromarray(pixels(90, 100, dtype="uint8")).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    image = read("image", tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png"):
        image.compute()


def test_text_under_the_name_of_a_picture(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.png").write_text("these are no pixels")
    refused(read, "image", tmp_path / "a.png")


def test_cut_off_array(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    np.save(tmp_path / "a.npy", pixels(90, 100))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[: len(content) // 2])
    refused(read, "numpy", tmp_path / "a.npy")


def test_pickled_objects_are_never_loaded(tmp_path: Path, read: Read) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    refused(read, "numpy", tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["strings", "number", "line"])
def test_arrays_that_are_no_images(tmp_path: Path, read: Read, name: str) -> None:
    array = {"strings": np.array([["a", "b"]]), "number": np.array(3.0), "line": np.zeros(9)}[name]
    np.save(tmp_path / "a.npy", array)
    refused(read, "numpy", tmp_path / "a.npy")


def test_several_arrays_in_one_file(tmp_path: Path, read: Read) -> None:
    np.savez(tmp_path / "a.npz", first=np.zeros(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    refused(read, "numpy", tmp_path / "a.npy")


def test_zarr_without_ome_metadata(tmp_path: Path, read: Read) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    assert "multiscales" in refused(read, "ome-zarr", tmp_path / "a.zarr").message


def test_zarr_that_is_a_file(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.zarr").touch()
    assert "not a folder" in refused(read, "ome-zarr", tmp_path / "a.zarr").message


def test_zarr_with_broken_metadata(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels) -> None:
    for damage in ("array", "json", "missing"):
        path = tmp_path / f"{damage}.zarr"
        writer("ome-zarr").write(path, Image(pixels(40, 50), "YX"))
        if damage == "missing":
            shutil.rmtree(path / "0")
        else:
            (path / ("0/.zarray" if damage == "array" else ".zattrs")).write_text("{")
        refused(read, "ome-zarr", path)


def test_zarr_with_a_cut_off_chunk(tmp_path: Path, read: Read, writer: Callable, pixels: Pixels) -> None:
    path = tmp_path / "a.zarr"
    writer("ome-zarr", chunk=16).write(path, Image(pixels(40, 50), "YX"))
    chunk = path / "0" / "1" / "2"
    chunk.write_bytes(chunk.read_bytes()[:20])
    image = read("ome-zarr", path)
    assert np.asarray(image.data[:16, :16]).any()
    with pytest.raises(DataError, match=r"a\.zarr"):
        image.compute()
