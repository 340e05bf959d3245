"""Where images and targets that are no pairs may lie, and what is said about folders that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from im2im_core.builtin.dataset_config import UnpairedConfig
from im2im_core.builtin.sides import find_sides, split_sides
from im2im_core.errors import DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(sides) -> tuple[list[str], list[str]]:
    return [s.image.name for s in sides.images], [s.image.name for s in sides.targets]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("A/x.tif", "A/y.png", "B/z.tif", "B/notes.txt"), (["x.tif", "y.png"], ["z.tif"])),
        (("IM/x.tif", "GT/z.tif", "GT/y.tif"), (["x.tif"], ["y.tif", "z.tif"])),
        (("x_IM.tif", "z_GT.tif", "y_GT.tif", "x_GT.tif"), (["x_IM.tif"], ["x_GT.tif", "y_GT.tif", "z_GT.tif"])),
        (("A/x.ome.zarr/.zgroup", "B/z.tif"), (["x.ome.zarr"], ["z.tif"])),
    ],
)
def test_folders(tmp_path, files, expected):
    train, val = find_sides(touch(tmp_path, *files))
    assert names(train) == expected
    assert val is None


def test_train_and_val_may_have_different_layouts(tmp_path):
    touch(tmp_path, "train/A/1.tif", "train/A/2.tif", "train/B/3.tif", "val/IM/4.tif", "val/GT/5.tif")
    train, val = find_sides(tmp_path)
    assert names(train) == (["1.tif", "2.tif"], ["3.tif"])
    assert names(val) == (["4.tif"], ["5.tif"])
    given = UnpairedConfig(train=str(tmp_path / "train"), val=str(tmp_path / "val"))
    assert split_sides(given, 0) == (train, val)
    other = UnpairedConfig(path=str(tmp_path / "train"), val=str(tmp_path / "val"))
    assert split_sides(other, 5) == (train, val)


def test_a_table_with_empty_cells(tmp_path):
    touch(tmp_path, "p/1.tif", "p/2.tif", "q/3.tif")
    (tmp_path / "d.csv").write_text("image,target\np/1.tif,\n,q/3.tif\np/2.tif,q/3.tif\n")
    train, val = find_sides(tmp_path / "d.csv")
    assert names(train) == (["1.tif", "2.tif"], ["3.tif"])
    assert val is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("A/x.tif",), r"holds no targets \('B'\); found: 'A/'"),
        (("B/x.tif",), r"holds no images \('A'\); found: 'B/'"),
        (("IM/x.tif", "GT/notes.txt"), r"holds no targets \('GT'\)"),
        (("x_IM.tif", "y_IM.tif"), r"holds no targets \('GT'\); found: 'x_IM.tif', 'y_IM.tif'"),
        (("x_GT.tif",), r"holds no images \('IM'\)"),
        (("x.tif", "other/y.tif"), "no layout that is known; found: 'other/', 'x.tif'"),
        (("train/A/x.tif", "val/A/x.tif"), r"train' holds no targets \('B'\)"),
        (("A/x.tif", "A/x.png", "B/y.tif"), "two files claim to be the image of 'x'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, files, message):
    with pytest.raises(DataError, match=message) as caught:
        find_sides(touch(tmp_path, *files))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,target\n1.tif,\n", "lists no file in a column 'target'"),
        ("image\n1.tif\n", "lists no file in a column 'target'"),
        ("image,target\n", "lists no images"),
        ("image,target\n1.tif,absent.tif\n", "do not exist: .*absent.tif"),
    ],
)
def test_tables_that_do_not_do(tmp_path, text, message):
    touch(tmp_path, "1.tif")
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_sides(tmp_path / "d.csv")


def test_missing_things(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        find_sides(tmp_path / "nowhere")
    touch(tmp_path, "x.tif")
    with pytest.raises(DataError, match="is a file, not a data set"):
        find_sides(tmp_path / "x.tif")
    with pytest.raises(DataError, match="no training data"):
        find_sides({"val": tmp_path})
