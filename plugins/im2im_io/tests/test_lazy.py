from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_io.lazy import coarser, taller

Read = Callable[..., Image]
Pixels = Callable[..., np.ndarray]


def damage_all_tiles_but(path: Path, kept: set[int]) -> None:
    with tifffile.TiffFile(path) as tif:
        segments = list(zip(tif.pages[0].dataoffsets, tif.pages[0].databytecounts, strict=True))
    content = bytearray(path.read_bytes())
    for index, (offset, count) in enumerate(segments):
        if index not in kept:
            content[offset : offset + count] = b"\xff" * count
    path.write_bytes(content)


@pytest.mark.parametrize("through_axes", [False, True])
def test_region_of_a_tiled_tiff_decodes_its_tiles_only(
    tmp_path: Path, read: Read, pixels: Pixels, through_axes: bool
) -> None:
    data = pixels(1024, 1024)
    tifffile.imwrite(tmp_path / "a.tif", data, tile=(128, 128), compression="zlib")
    damage_all_tiles_but(tmp_path / "a.tif", {18, 19, 26, 27})  # rows 2 and 3, columns 2 and 3
    image = read("tifffile", tmp_path / "a.tif")
    region: Any = image.data[256:512, 256:512]
    if through_axes:
        region = image.to_axes("CYX").data[0, 256:512, 256:512]
    assert np.array_equal(np.asarray(region), data[256:512, 256:512])
    with pytest.raises(DataError, match=r"a\.tif"):
        np.asarray(image.data[256:512, 256:513])


def test_region_of_an_ome_zarr_reads_its_chunks_only(
    tmp_path: Path, read: Read, writer: Callable, pixels: Pixels
) -> None:
    data = pixels(3, 256, 256)
    writer("ome-zarr", chunk=64).write(tmp_path / "a.zarr", Image(data, "ZYX"))
    for chunk in (tmp_path / "a.zarr" / "0").rglob("*"):
        if chunk.is_file() and chunk.name.isdigit() and chunk.relative_to(tmp_path / "a.zarr" / "0").parts[0] != "1":
            chunk.write_bytes(b"damaged")
    image = read("ome-zarr", tmp_path / "a.zarr")
    assert np.array_equal(np.asarray(image.to_axes("CZYX").data[0, 1, 10:100, :]), data[1, 10:100])
    with pytest.raises(DataError, match=r"a\.zarr"):
        np.asarray(image.data[2, 10:100])


@pytest.fixture
def formats(tmp_path: Path, pixels: Pixels, writer: Callable) -> dict[str, tuple[str, Path]]:
    data = pixels(130, 140)
    tifffile.imwrite(tmp_path / "packed.tif", data, compression="zlib")
    tifffile.imwrite(tmp_path / "tiled.tif", data, compression="zlib", tile=(64, 64))
    tifffile.imwrite(tmp_path / "other_byte_order.tif", data, byteorder=">" if sys.byteorder == "little" else "<")
    Picture.fromarray(data).save(tmp_path / "picture.png")
    np.save(tmp_path / "other.npy", data.astype(data.dtype.newbyteorder()))
    writer("ome-zarr", chunk=64).write(tmp_path / "folder.zarr", Image(data, "YX"))
    readers = {".tif": "tifffile", ".png": "image", ".npy": "numpy", ".zarr": "ome-zarr"}
    return {path.name: (readers[path.suffix], path) for path in sorted(tmp_path.iterdir())}


NAMES = ["packed.tif", "tiled.tif", "other_byte_order.tif", "picture.png", "other.npy", "folder.zarr"]


@pytest.mark.parametrize("name", NAMES)
def test_images_can_be_pickled(formats: dict[str, tuple[str, Path]], read: Read, pixels: Pixels, name: str) -> None:
    reader, path = formats[name]
    sent = pickle.dumps(read(reader, path))
    assert len(sent) < 20_000  # the way to the pixels, not the pixels
    assert np.array_equal(pickle.loads(sent).compute(), pixels(130, 140))  # noqa: S301 - pickled two lines above


@pytest.mark.parametrize("name", NAMES)
def test_pixels_have_the_byte_order_of_the_machine(
    formats: dict[str, tuple[str, Path]], read: Read, pixels: Pixels, name: str
) -> None:
    image = read(*formats[name])
    assert image.dtype == np.uint16
    assert image.compute().dtype == np.uint16
    assert np.array_equal(image.compute(), pixels(130, 140))


@pytest.mark.parametrize("name", NAMES)
def test_threads_may_share_an_image(
    formats: dict[str, tuple[str, Path]], read: Read, pixels: Pixels, name: str
) -> None:
    data, image = pixels(130, 140), read(*formats[name])
    corners = [(y, x) for y in range(0, 100, 20) for x in range(0, 100, 20)]
    with ThreadPoolExecutor(8) as pool:
        regions = list(pool.map(lambda at: np.asarray(image.data[at[0] : at[0] + 30, at[1] : at[1] + 30]), corners))
    assert all(np.array_equal(r, data[y : y + 30, x : x + 30]) for r, (y, x) in zip(regions, corners, strict=True))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def many(tmp_path: Path, pixels: Pixels) -> Iterator[Callable[..., list[Path]]]:
    def write(**settings: Any) -> list[Path]:
        tifffile.imwrite(tmp_path / "0.tif", pixels(40, 50), **settings)
        content = (tmp_path / "0.tif").read_bytes()
        paths = [tmp_path / f"{number}.tif" for number in range(500)]
        for path in paths:
            path.write_bytes(content)
        return paths

    yield write


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files can be counted on Linux only")


@needs_proc
def test_five_hundred_packed_images_hold_no_file_open(many: Callable[..., list[Path]], read: Read) -> None:
    paths = many(compression="zlib", tile=(16, 16))
    read("tifffile", paths[0]).compute()
    before = open_files()
    images = [read("tifffile", path) for path in paths]
    assert all(np.asarray(image.data[:10, :10]).any() for image in images[::10])
    assert open_files() <= before


@needs_proc
def test_five_hundred_mapped_images_are_let_go(many: Callable[..., list[Path]], read: Read) -> None:
    paths = many()
    before = open_files()
    assert sum(int(np.asarray(read("tifffile", path).data[:10, :10]).max() > 0) for path in paths) == 500
    assert open_files() <= before


@needs_proc
def test_refused_files_are_closed(many: Callable[..., list[Path]], read: Read) -> None:
    paths = many()[:50]
    before = open_files()
    for path in paths:
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(DataError):
            read("tifffile", path)
    assert open_files() <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_worker_does_not_wait_for_threads_of_its_parent(formats: dict[str, tuple[str, Path]]) -> None:
    script = f"""
import multiprocessing, pathlib, sys, warnings
from im2im_io.config import TiffReaderConfig
from im2im_io.tiff_reader import tiff_reader
warnings.simplefilter("ignore")
image = tiff_reader(TiffReaderConfig())(pathlib.Path({str(formats["tiled.tif"][1])!r}))
total = int(image.compute().sum())
worker = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(int(image.compute().sum()) != total))
worker.start()
worker.join(10)
worker.kill()
sys.exit(worker.exitcode != 0)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_very_many_chunks_are_joined() -> None:
    chunks = coarser((3, 100_000, 80_000), (1, 256, 256))
    count = 3 * -(-100_000 // chunks[1]) * -(-80_000 // chunks[2])
    assert chunks[0] == 1
    assert chunks[1] % 256 == chunks[2] % 256 == 0
    assert 1000 < count <= 4096
    assert coarser((512, 512), (128, 128)) == (128, 128)


def test_strips_are_joined_to_about_a_megabyte() -> None:
    assert taller((5, 2048, 2048), (1, 4, 2048), 1, 2) == (1, 256, 2048)
    assert taller((64, 64), (8, 64), 0, 1) == (64, 64)
