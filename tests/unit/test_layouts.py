"""Finding images on disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from im2im_core.errors import DataError
from im2im_core.layouts import find_images, find_split, find_subjects, find_targets, stem_of


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def listing(subjects):
    return [(s.stem, s.image.name, s.target and s.target.name, s.costmap and s.costmap.name) for s in subjects]


def test_one_folder_with_roles_in_names(tmp_path):
    touch(
        tmp_path, "b_IM.png", "b_GT.tiff", "a_1_IM.ome.tiff", "a_1_GT.tif", "a_1_CM.png", "MANIFEST.json", ".x_IM.png"
    )
    assert listing(find_subjects(tmp_path)) == [
        ("a_1", "a_1_IM.ome.tiff", "a_1_GT.tif", "a_1_CM.png"),
        ("b", "b_IM.png", "b_GT.tiff", None),
    ]


def test_folders_by_role_with_equal_stems(tmp_path):
    touch(tmp_path, "IM/a.czi", "IM/b.png", "GT/a.tiff", "GT/b.ome.tiff", "CM/b.png", "IM/notes.txt")
    assert listing(find_subjects(tmp_path)) == [("a", "a.czi", "a.tiff", None), ("b", "b.png", "b.ome.tiff", "b.png")]


def test_zarr_folders_are_images(tmp_path):
    touch(tmp_path, "a_IM.ome.zarr/.zattrs", "a_GT.zarr/.zarray", "IM.txt")
    assert listing(find_subjects(tmp_path)) == [("a", "a_IM.ome.zarr", "a_GT.zarr", None)]
    assert find_images(tmp_path / "a_IM.ome.zarr") == [("a", tmp_path / "a_IM.ome.zarr")]


def test_train_and_val_folders(tmp_path):
    touch(tmp_path, "train/a_IM.png", "train/a_GT.png", "val/IM/b.png", "val/GT/b.png")
    split = find_split(tmp_path)
    assert [s.stem for s in split.train] == ["a"]
    assert [s.stem for s in split.val] == ["b"]
    same = find_split({"train": tmp_path / "train", "val": str(tmp_path / "val")})
    assert same == split
    assert [s.stem for s in find_subjects(tmp_path)] == ["a", "b"]


def test_train_folder_without_val(tmp_path):
    touch(tmp_path, "train/a_IM.png", "train/a_GT.png", "holdout/b_IM.png", "holdout/b_GT.png")
    split = find_split(tmp_path)
    assert [s.stem for s in split.train] == ["a"]
    assert split.val is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_paths_are_relative_to_it(tmp_path, delimiter):
    touch(tmp_path, "raw/x.png", "truth/x_mask.png", "truth/x_cost.png", "raw/y.png", "truth/y.png")
    absolute = tmp_path / "truth" / "y.png"
    rows = [
        ["Image", "target", "costmap"],
        ["raw/x.png", "truth/x_mask.png", "truth/x_cost.png"],
        ["raw/y.png", str(absolute), ""],
    ]
    (tmp_path / "pairs.csv").write_text(
        "\ufeff" + "\n".join(delimiter.join(row) for row in rows) + "\n\n", encoding="utf-8"
    )
    assert listing(find_subjects(tmp_path / "pairs.csv")) == [
        ("x", "x.png", "x_mask.png", "x_cost.png"),
        ("y", "y.png", "y.png", None),
    ]
    assert [stem for stem, _ in find_images(tmp_path / "pairs.csv")] == ["x", "y"]
    assert [path.name for _, path in find_targets(tmp_path / "pairs.csv")] == ["x_mask.png", "y.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column 'image' and 'target'; found: 'a', 'b'"),
        ("image\nx.png\n", "no column 'target'"),
        ("image,target\n", "lists no images"),
        ("", "no column"),
        ("image,target\nx.png,\n", "line 2 .* column 'target'"),
        ("image,target\nx.png,gone.png\nlost.png,x.png\n", "2 files .* do not exist: .*gone.png.*lost.png"),
        ("image,target\nx.png,x.png\nx.png,x.png\n", "lists the image .*x.png' twice"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    touch(tmp_path, "x.png")
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        find_subjects(tmp_path / "pairs.csv")
    assert caught.value.hint
    assert "pairs.csv" in caught.value.message


def test_csv_that_is_not_text(tmp_path):
    (tmp_path / "pairs.csv").write_bytes(b"image,target\n\xff\xfe,\x00\n")
    with pytest.raises(DataError, match="not a text in UTF-8"):
        find_subjects(tmp_path / "pairs.csv")


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r"'.*nowhere' does not exist"):
        find_subjects(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    touch(tmp_path, ".hidden")
    with pytest.raises(DataError, match="is empty"):
        find_subjects(tmp_path)


def test_unknown_layout_says_what_is_there_and_what_is_expected(tmp_path):
    touch(tmp_path, *(f"{i}.png" for i in range(7)), "masks/1.png")
    with pytest.raises(DataError) as caught:
        find_subjects(tmp_path)
    assert "'0.png', '1.png'" in caught.value.message
    assert "and 3 more" in caught.value.message
    assert "X_IM.tiff" in caught.value.hint


def test_targets_alone_are_no_layout(tmp_path):
    touch(tmp_path, "a_GT.png")
    with pytest.raises(DataError, match="no layout that is known"):
        find_subjects(tmp_path)


def test_a_file_is_no_data_set(tmp_path):
    touch(tmp_path, "a.png")
    with pytest.raises(DataError, match="is a file, not a data set"):
        find_subjects(tmp_path / "a.png")


def test_images_without_target_are_counted_and_named(tmp_path):
    touch(tmp_path, *(f"{i}_IM.png" for i in range(8)), "0_GT.png")
    with pytest.raises(DataError, match="7 of 8 images") as caught:
        find_subjects(tmp_path)
    assert "'1_IM.png'" in caught.value.message
    assert "'5_IM.png'" in caught.value.message
    assert "'6_IM.png'" not in caught.value.message
    assert "and 2 more" in caught.value.message
    assert len(find_subjects(tmp_path, need_target=False)) == 8


@pytest.mark.parametrize(
    ("names", "role"),
    [
        (("a_IM.png", "a_IM.tiff", "a_GT.png"), "image"),
        (("IM/a.png", "GT/a.png", "GT/a.tiff"), "target"),
        (("a_IM.png", "a_GT.png", "a_CM.png", "a_CM.tif"), "costmap"),
    ],
)
def test_two_files_for_one_role(tmp_path, names, role):
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=f"two files claim to be the {role} of 'a'"):
        find_subjects(tmp_path)


def test_validation_data_without_training_data(tmp_path):
    with pytest.raises(DataError, match="no training data"):
        find_split({"train": None, "val": tmp_path})


@pytest.mark.parametrize("layout", ["names", "folders"])
def test_ten_thousand_subjects_take_less_than_a_second(tmp_path, layout):
    for role in ("IM", "GT"):
        folder = tmp_path if layout == "names" else tmp_path / role
        folder.mkdir(exist_ok=True)
        ending = f"_{role}.tiff" if layout == "names" else ".tiff"
        for i in range(10_000):
            os.close(os.open(f"{folder}/s{i:05}{ending}", os.O_CREAT))
    started = time.process_time()  # not the wall clock: other work on the machine must not fail the test
    subjects = find_subjects(tmp_path)
    took = time.process_time() - started
    assert len(subjects) == 10_000
    assert subjects[-1].target is not None
    assert took < 1.0


def test_prediction_takes_images_of_a_training_layout_only(tmp_path):
    touch(tmp_path, "a_IM.png", "a_GT.png", "b_IM.png", "b_GT.png", "stray.png")
    assert find_images(tmp_path) == [("a", tmp_path / "a_IM.png"), ("b", tmp_path / "b_IM.png")]
    assert find_targets(tmp_path) == [("a", tmp_path / "a_GT.png"), ("b", tmp_path / "b_GT.png")]


def test_prediction_of_a_plain_folder(tmp_path):
    touch(
        tmp_path, "b.PNG", "a.ome.tiff", "notes.txt", "c.lsm", ".d.png", "sub/e.png", "one_IM.png", "z.ome.zarr/.zattrs"
    )
    found = find_images(tmp_path, suffixes=(".png", ".tiff", ".ome.zarr"))
    assert [stem for stem, _ in found] == ["a", "b", "one", "z"]
    assert [stem for stem, _ in find_images(tmp_path)] == ["a", "b", "c", "one", "z"]


def test_prediction_of_a_folder_without_images(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match=r"holds no image; found: 'notes\.txt'") as caught:
        find_images(tmp_path, suffixes=(".png",))
    assert ".png" in caught.value.hint


def test_prediction_of_a_pattern(tmp_path):
    touch(tmp_path, "x/b_IM.tif", "x/y/a.tif", "x/.c.tif", "x/s.ome.zarr/0/0.tif")
    assert find_images(f"{tmp_path}/**/*.tif") == [("a", tmp_path / "x/y/a.tif"), ("b", tmp_path / "x/b_IM.tif")]
    with pytest.raises(DataError, match="no file matches"):
        find_images(f"{tmp_path}/*.png")


def test_a_name_with_brackets_is_a_file_first(tmp_path):
    touch(tmp_path, "a[1].png")
    assert find_images(tmp_path / "a[1].png") == [("a[1]", tmp_path / "a[1].png")]


def test_prediction_of_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        find_images(tmp_path / "gone.png")


def test_results_must_not_overwrite_each_other(tmp_path):
    touch(tmp_path, "a.png", "a.tif")
    with pytest.raises(DataError, match="same stem 'a'"):
        find_images(tmp_path)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a_IM.tiff", "a"),
        ("a.b_GT.ome.tif", "a.b"),
        ("x.nii.gz", "x"),
        ("_IM.png", "_IM"),
        ("a_im.png", "a_im"),
        ("v1.2", "v1"),
    ],
)
def test_stem(name, stem):
    assert stem_of(name) == stem
