from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_io.zarr_folder import ZARR_3

Read = Callable[..., Image]
Pixels = Callable[..., np.ndarray]


def write_zarr(path: Path, levels: list[np.ndarray], attributes: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"zarr_format": 2} if ZARR_3 else {}
    group = zarr.open_group(str(path), mode="w", **settings)
    group.attrs.update(attributes)
    for number, level in enumerate(levels):
        create = group.create_array if ZARR_3 else group.create_dataset
        target = create(str(number), shape=level.shape, dtype=level.dtype, chunks=level.shape)
        target[...] = level


def multiscales(axes: Any, scales: list[list[float]], **more: Any) -> dict[str, Any]:
    datasets = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for number, scale in enumerate(scales)
    ]
    return {"multiscales": [{"datasets": datasets, **({"axes": axes} if axes else {}), **more}]}


NANOMETRES = [
    {"name": "c", "type": "channel"},
    {"name": "y", "type": "space", "unit": "nanometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]


def test_levels_axes_sizes_without_an_omero_block(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    data = pixels(2, 40, 50)
    attributes = multiscales(NANOMETRES, [[1, 100, 0.2], [1, 200, 0.4]])
    write_zarr(tmp_path / "a.ome.zarr", [data, data[:, ::2, ::2]], attributes)
    image = read("ome-zarr", tmp_path / "a.ome.zarr")
    assert (image.axes, image.channel_names) == ("CYX", ())
    assert image.pixel_size == pytest.approx({"Y": 0.1, "X": 0.2})
    assert np.array_equal(image.compute(), data)
    coarse = read("ome-zarr", tmp_path / "a.ome.zarr", level=1)
    assert coarse.pixel_size == pytest.approx({"Y": 0.2, "X": 0.4})
    assert np.array_equal(coarse.compute(), data[:, ::2, ::2])
    with pytest.raises(DataError, match="no level 2") as caught:
        read("ome-zarr", tmp_path / "a.ome.zarr", level=2)
    assert "0 to 1" in caught.value.hint


def test_names_of_channels(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    omero = {"omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}}
    write_zarr(tmp_path / "a.zarr", [pixels(2, 40, 50)], {**multiscales(NANOMETRES, [[1, 1, 1]]), **omero})
    assert read("ome-zarr", tmp_path / "a.zarr").channel_names == ("DAPI", "GFP")


def test_scale_of_the_whole_pyramid_counts_too(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    common = {"coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}
    write_zarr(tmp_path / "a.zarr", [pixels(2, 40, 50)], multiscales(NANOMETRES, [[1, 1000, 1]], **common))
    assert read("ome-zarr", tmp_path / "a.zarr").pixel_size == pytest.approx({"Y": 0.5, "X": 0.5})


@pytest.mark.parametrize(
    ("axes", "shape", "expected"), [(None, (1, 2, 3, 40, 50), "TCZYX"), (["z", "y", "x"], (3, 40, 50), "ZYX")]
)
def test_axes_of_older_versions(
    tmp_path: Path, read: Read, pixels: Pixels, axes: Any, shape: tuple[int, ...], expected: str
) -> None:
    write_zarr(tmp_path / "a.zarr", [pixels(*shape)], multiscales(axes, [[1.0] * len(shape)]))
    image = read("ome-zarr", tmp_path / "a.zarr")
    assert (image.axes, image.pixel_size) == (expected, {})


def test_images_side_by_side(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    write_zarr(tmp_path / "a.zarr", [], {"bioformats2raw.layout": 3})
    for scene in range(2):
        write_zarr(tmp_path / "a.zarr" / str(scene), [pixels(2, 40 + scene, 50)], multiscales(NANOMETRES, [[1, 1, 1]]))
    assert read("ome-zarr", tmp_path / "a.zarr").shape == (2, 40, 50)
    assert read("ome-zarr", tmp_path / "a.zarr", scene=1).shape == (2, 41, 50)
    with pytest.raises(DataError, match="no scene '2'"):
        read("ome-zarr", tmp_path / "a.zarr", scene=2)


def test_plate_is_no_image(tmp_path: Path, read: Read) -> None:
    write_zarr(tmp_path / "a.zarr", [], {"plate": {}})
    with pytest.raises(DataError, match="plate") as caught:
        read("ome-zarr", tmp_path / "a.zarr")
    assert "field" in caught.value.hint


BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
PACKINGS: dict[str, tuple[list[dict[str, Any]], Callable[[np.ndarray], bytes]]] = {
    "none": ([BYTES], lambda chunk: chunk.tobytes()),
    "big endian": ([{"name": "bytes", "configuration": {"endian": "big"}}], lambda c: c.astype(">u2").tobytes()),
    "zstd": (
        [BYTES, {"name": "zstd", "configuration": {"level": 1, "checksum": False}}],
        lambda chunk: bytes(numcodecs.Zstd(1).encode(chunk)),
    ),
    "gzip": (
        [BYTES, {"name": "gzip", "configuration": {"level": 1}}],
        lambda chunk: bytes(numcodecs.GZip(1).encode(chunk)),
    ),
    "blosc": (
        [
            BYTES,
            {
                "name": "blosc",
                "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 0},
            },
        ],
        lambda chunk: bytes(numcodecs.Blosc("lz4", 5, 1).encode(chunk)),
    ),
    "transposed": (
        [{"name": "transpose", "configuration": {"order": [2, 1, 0]}}, BYTES],
        lambda chunk: chunk.transpose(2, 1, 0).tobytes(),
    ),
}


def write_v3(path: Path, data: np.ndarray, codecs: list[dict[str, Any]], pack: Callable, encoding: str) -> None:
    """An OME-Zarr 0.5 image of two chunks along Y, by the letter of the specification."""
    (path / "0").mkdir(parents=True)
    ome = {"version": "0.5", **multiscales(NANOMETRES, [[1, 100, 0.2]])}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (path / "zarr.json").write_text(json.dumps(group))
    chunk_shape = (data.shape[0], data.shape[1] // 2, data.shape[2])
    array = {
        **{"zarr_format": 3, "node_type": "array", "shape": data.shape, "data_type": "uint16", "fill_value": 0},
        **{"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}}, "codecs": codecs},
        **{"chunk_key_encoding": {"name": encoding}, "attributes": {}},
    }
    (path / "0" / "zarr.json").write_text(json.dumps(array))
    for number in range(2):
        file = path / "0" / (f"c/0/{number}/0" if encoding == "default" else f"0.{number}.0")
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = slice(number * chunk_shape[1], (number + 1) * chunk_shape[1])
        file.write_bytes(pack(np.ascontiguousarray(data[:, rows])))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("encoding", ["default", "v2"])
def test_version_5_is_read_with_either_zarr(
    tmp_path: Path, read: Read, pixels: Pixels, packing: str, encoding: str
) -> None:
    data = pixels(2, 40, 50)
    write_v3(tmp_path / "a.ome.zarr", data, *PACKINGS[packing], encoding)
    image = read("ome-zarr", tmp_path / "a.ome.zarr")
    assert (image.axes, image.dtype) == ("CYX", np.uint16)
    assert image.pixel_size == pytest.approx({"Y": 0.1, "X": 0.2})
    assert np.array_equal(image.compute(), data)


def test_missing_chunk_has_the_fill_value(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    data = pixels(2, 40, 50)
    write_v3(tmp_path / "a.zarr", data, *PACKINGS["zstd"], "default")
    (tmp_path / "a.zarr/0/c/0/1/0").unlink()
    assert np.array_equal(read("ome-zarr", tmp_path / "a.zarr").compute()[:, 20:], np.zeros((2, 20, 50)))


def test_cut_off_blosc_chunk_of_version_5(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    write_v3(tmp_path / "a.zarr", pixels(2, 40, 50), *PACKINGS["blosc"], "default")
    chunk = tmp_path / "a.zarr/0/c/0/1/0"
    chunk.write_bytes(chunk.read_bytes()[:500])
    with pytest.raises(DataError, match="cut off"):
        read("ome-zarr", tmp_path / "a.zarr").compute()


@pytest.mark.skipif(ZARR_3, reason="zarr 3 reads shards")
def test_shards_name_the_line_to_install(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    shards = [{"name": "sharding_indexed", "configuration": {}}]
    write_v3(tmp_path / "a.zarr", pixels(2, 40, 50), shards, lambda chunk: chunk.tobytes(), "default")
    with pytest.raises(DataError, match="sharding_indexed") as caught:
        read("ome-zarr", tmp_path / "a.zarr")
    assert 'pip install "zarr>=3"' in caught.value.hint
