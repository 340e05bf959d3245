"""Resolution levels and the metadata around them, judged by the schemas of the OME-Zarr standard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import ValidationError
from ngff_zarr.validate import validate

from im2im_core.image import Image
from im2im_io.pyramid import level_shapes

Make = Callable[..., Any]


def attributes(folder: Path) -> dict[str, Any]:
    return json.loads((folder / ".zattrs").read_text())


def translation(dataset: dict[str, Any]) -> list[float] | None:
    moves = {move["type"]: move for move in dataset["coordinateTransformations"]}
    return moves["translation"]["translation"] if "translation" in moves else None


def test_shapes_of_levels() -> None:
    assert level_shapes("CZYX", (2, 9, 1300, 40), 512, None) == [(2, 9, 1300, 40), (2, 9, 650, 20), (2, 9, 325, 10)]
    assert level_shapes("YX", (512, 512), 512, None) == [(512, 512)]
    assert level_shapes("YX", (7, 5), 512, 3) == [(7, 5), (4, 3), (2, 2)]
    assert level_shapes("YX", (3, 2), 512, 20) == [(3, 2), (2, 1), (1, 1)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_coarse_pixel_is_the_mean_of_four(tmp_path: Path, read: Make, writer: Make, pixels: Make, dtype: str) -> None:
    data = pixels(2, 3, 150, 131, dtype=dtype)
    image = Image(data, "CZYX", {"Z": 0.5, "Y": 0.2, "X": 0.1}, ("DAPI", "GFP"))
    writer("ome-zarr", chunk=32).write(tmp_path / "a.ome.zarr", image)
    found = attributes(tmp_path / "a.ome.zarr")
    validate(found, version="0.4", model="image", strict=True)
    assert len(found["multiscales"][0]["datasets"]) == 4
    fine = data
    for level in range(1, 4):
        coarse = read("ome-zarr", tmp_path / "a.ome.zarr", level=level)
        assert coarse.channel_names == ("DAPI", "GFP")
        assert coarse.pixel_size == pytest.approx({"Z": 0.5, "Y": 0.2 * 2**level, "X": 0.1 * 2**level})
        even = fine[..., : fine.shape[-2] // 2 * 2, : fine.shape[-1] // 2 * 2].astype(np.float64)
        mean = even.reshape(2, 3, even.shape[2] // 2, 2, even.shape[3] // 2, 2).mean(axis=(3, 5))
        inside = coarse.compute()[..., : mean.shape[2], : mean.shape[3]]
        assert inside.dtype == np.dtype(dtype)
        np.testing.assert_allclose(inside, mean, atol=0.5 if inside.dtype.kind == "u" else 1e-6)
        assert coarse.shape == (2, 3, -(-fine.shape[2] // 2), -(-fine.shape[3] // 2))
        shift = translation(found["multiscales"][0]["datasets"][level])
        assert shift == pytest.approx([0, 0, 0.1 * (2**level - 1), 0.05 * (2**level - 1)])
        fine = coarse.compute()


def test_the_last_pixel_of_an_odd_length_stands_for_itself(tmp_path: Path, read: Make, writer: Make) -> None:
    image = Image(np.array([[0, 2, 10], [4, 6, 20], [8, 10, 30]], np.uint8), "YX")
    writer("ome-zarr", levels=2).write(tmp_path / "a.zarr", image)
    assert read("ome-zarr", tmp_path / "a.zarr", level=1).compute().tolist() == [[3, 15], [9, 30]]


def test_labels_lie_in_the_group_of_the_standard(tmp_path: Path, read: Make, writer: Make) -> None:
    labels = np.random.default_rng(0).integers(0, 900, (150, 131)).astype(np.uint16)
    path = tmp_path / "a.ome.zarr"
    writer("ome-zarr", chunk=32, content="labels").write(path, Image(labels, "YX", {"Y": 0.2, "X": 0.2}))
    inside = path / "labels" / "objects"
    validate(attributes(path), version="0.4", model="image", strict=True)
    # Strictly it would ask for colours, with which viewers would leave all other labels dark.
    validate(attributes(inside), version="0.4", model="label")
    validate(attributes(inside), version="0.4", model="image", strict=True)
    assert attributes(path / "labels") == {"labels": ["objects"]}
    assert (inside / attributes(inside)["image-label"]["source"]["image"]).resolve() == path.resolve()
    for folder in (path, inside):
        image = read("ome-zarr", folder)
        assert np.array_equal(image.compute(), labels)
        assert image.pixel_size == {"Y": 0.2, "X": 0.2}
        for level, step in ((1, 2), (3, 8)):
            coarse = read("ome-zarr", folder, level=level)
            assert np.array_equal(coarse.compute(), labels[::step, ::step]), "a mean of labels names another object"
            assert coarse.pixel_size == pytest.approx({"Y": 0.2 * step, "X": 0.2 * step})
    assert all(translation(dataset) is None for dataset in attributes(path)["multiscales"][0]["datasets"])


def test_fractions_are_no_labels(tmp_path: Path, writer: Make) -> None:
    image = Image(np.zeros((2, 20, 20), np.float32), "CYX")
    writer("ome-zarr", content="labels").write(tmp_path / "a.zarr", image)
    assert not (tmp_path / "a.zarr" / "labels").exists()
    validate(attributes(tmp_path / "a.zarr"), version="0.4", model="image", strict=True)


def test_a_large_image_in_regions_has_all_levels(tmp_path: Path, read: Make, writer: Make, pixels: Make) -> None:
    data = pixels(3, 70, 90)
    image = Image(data, "TYX")
    with writer("ome-zarr", chunk=16).create(tmp_path / "a.zarr", image, data.shape, data.dtype) as file:
        for time, top in np.ndindex(3, 2):
            file.write_region((time, 35 * top, 0), data[time : time + 1, 35 * top : 35 * top + 35])
    assert np.array_equal(read("ome-zarr", tmp_path / "a.zarr").compute(), data)
    assert read("ome-zarr", tmp_path / "a.zarr", level=3).shape == (3, 9, 12)
    assert read("ome-zarr", tmp_path / "a.zarr", level=3).compute().mean() == pytest.approx(data.mean(), rel=0.05)


def test_the_schema_would_find_a_mistake() -> None:
    with pytest.raises(ValidationError, match="should be non-empty"):
        validate({"multiscales": [{"version": "0.4", "datasets": []}]}, version="0.4", model="image")
