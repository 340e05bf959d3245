"""Numbers as targets: tables of them, what a data set makes of them, and how predicted numbers are compared."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from im2im_core.builtin.dataset_config import PairedConfig
from im2im_core.builtin.metrics import mae, pearson, rmse
from im2im_core.data.caching import make_items, sample_key
from im2im_core.data.pairs import inspect_paired
from im2im_core.data.samples import LoadSample
from im2im_core.data.survey import survey_paired
from im2im_core.errors import DataError
from im2im_core.evaluation_record import Evaluation
from im2im_core.image import Image
from im2im_core.layouts import Subject, find_images, find_subjects, find_targets
from im2im_core.tables import read_table
from im2im_core.value_evaluation import evaluate_values, find_values
from im2im_core.values_table import ValuesTable, read_values, values_table

METRICS = {"mae": mae, "rmse": rmse, "pearson": pearson}


def load(path: Path) -> Image:
    pixels = tifffile.imread(path)
    return Image(pixels, "ZYX"[-pixels.ndim :], {"Y": 0.5, "X": 0.5})


def table(folder: Path, *lines: str, header: str = "image,target", images: int = 3) -> Path:
    for index in range(images):
        tifffile.imwrite(folder / f"s{index}.tiff", np.full((20, 24), 10 * index, np.uint8))
    path = folder / "pairs.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


# --- tables


def test_a_column_of_numbers(tmp_path: Path) -> None:
    path = table(tmp_path, "s0.tiff,1.5", "s1.tiff,-2", "s2.tiff,1e3")
    assert [(subject.stem, subject.target, subject.value) for subject in find_subjects(path)] == [
        ("s0", None, 1.5),
        ("s1", None, -2.0),
        ("s2", None, 1000.0),
    ]
    assert all(subject.has_target for subject in find_subjects(path))
    assert [stem for stem, _ in find_images(path)] == ["s0", "s1", "s2"]  # as predict sees it
    with pytest.raises(DataError, match="are numbers, not images") as caught:
        find_targets(path)
    assert "values.csv" in caught.value.hint


def test_zero_is_a_target(tmp_path: Path) -> None:
    (subject,) = find_subjects(table(tmp_path, "s0.tiff,0"))
    assert subject.value == 0 and subject.has_target
    assert not Subject("a", tmp_path).has_target


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("s0.tiff,1", "s1.tiff,s2.tiff", "s2.tiff,3"), r"mixes numbers and paths: line 3 has the path 's2\.tiff'"),
        (("s0.tiff,s1.tiff", "s1.tiff,s2.tiff", "s2.tiff,3.5"), r"mixes .* line 4 has the number '3\.5'"),
        (("s0.tiff,1", "s1.tiff,gone.tiff", "s2.tiff,3"), r"line 3 has the path 'gone\.tiff'"),
        (("s0.tiff,1", "s1.tiff,", "s2.tiff,3"), "line 3 of .* has nothing in column 'target'"),
        (("s0.tiff,1", "s1.tiff,nan"), "line 3 of .* has the target 'nan'"),
        (("s0.tiff,inf",), "line 2 of .* has the target 'inf'"),
        (("gone.tiff,1",), "1 files that .* lists do not exist"),
        (("s0.tiff,1", "s0.tiff,2"), "lists the image .* twice"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        find_subjects(table(tmp_path, *lines))
    assert caught.value.hint


def test_a_file_may_have_a_number_for_a_name(tmp_path: Path) -> None:
    (tmp_path / "7").touch()
    (row,) = read_table(table(tmp_path, "s0.tiff,7"), ("image", "target"))
    assert (row.value, row.paths["target"].name, row.line) == (None, "7", 2)


# --- data set


def test_a_number_is_an_image_of_that_value(tmp_path: Path) -> None:
    config = PairedConfig(path=str(table(tmp_path, "s0.tiff,1.5", "s1.tiff,-2", "s2.tiff,8")))
    facts = inspect_paired(config, load)
    assert (facts.number_targets, facts.target_channels, facts.target_dtype) == (True, 1, "float32")
    sample = LoadSample(load, lambda sample: sample, facts, indices=False)({"subject": find_subjects(config.path)[1]})
    assert sample["target"].shape == (1, 20, 24)
    assert (sample["target"] == -2).all()
    survey = survey_paired(config, load)
    assert survey.numbers == (1.5, -2.0, 8.0)
    assert survey.target_range == ((pytest.approx(-1.93), pytest.approx(7.974)),)
    assert survey.classes == ()
    assert len(survey.shapes) == 3


def test_another_number_is_another_cached_sample(tmp_path: Path) -> None:
    table(tmp_path)
    items = make_items([Subject("s0", tmp_path / "s0.tiff", value=v) for v in (None, 0.0, 1.0)], ())
    assert len({sample_key(item, tmp_path / "cache") for item in items}) == 3


# --- the table of results


def test_the_table_holds_means_and_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "out" / "values.csv"
    with ValuesTable(path) as values:
        values.add(Path("a/x.tiff"), Image(np.array([[1, 2], [3, 4.0]], np.float32), "YX"))
        values.add(Path("y.tiff"), Image(np.full((1, 2, 2), 1e6 / 3, np.float32), "CYX"))
    assert path.read_text().splitlines() == ["image,value", "x.tiff,2.5", f"y.tiff,{np.float32(1e6 / 3):.8g}"]
    with ValuesTable(path) as values:
        variance = Image(np.full((2, 2), 0.25), "YX")
        values.add(Path("z.tiff"), Image(np.zeros((2, 2)), "YX"), {"mean": variance, "variance": variance})
    assert path.read_text().splitlines() == ["image,value,variance", "z.tiff,0,0.25"]
    with ValuesTable(path) as values:
        values.add(Path("z.tiff"), Image(np.stack([np.zeros((2, 2)), np.ones((2, 2))]), "CYX"))
    assert path.read_text().splitlines() == ["image,value_1,value_2", "z.tiff,0,1"]
    with ValuesTable(path) as values, pytest.raises(DataError, match="nan"):
        values.add(Path("z.tiff"), Image(np.full((2, 2), np.nan), "YX"))
    assert path.read_text().splitlines() == ["image,value"]  # all failed: no numbers of an earlier run may stay
    assert [file.name for file in path.parent.iterdir()] == ["values.csv"]


def test_only_a_regression_has_a_table(tmp_path: Path) -> None:
    assert values_table("translation", tmp_path) is None
    made = values_table("regression", tmp_path)
    assert made is not None and made.path == tmp_path / "values.csv"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,value_1,value_2\na,1,2\n", "has no columns 'image' and 'value'; found: 'image', 'value_1'"),
        ("", "found: nothing"),
        ("image,value\n", "lists no images"),
        ("image,value\na,1\nb,high\n", "line 3 of .* has the value 'high'"),
        ("image,value\na,nan\n", "line 2 of .* has the value 'nan'"),
        ("image,value\na\n", "line 2 of .* has the value ''"),
        ("image,value\na,1\na,2\n", "lists the image 'a' twice"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "v.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_values(path)
    assert caught.value.hint
    with pytest.raises(DataError, match="cannot read"):
        read_values(tmp_path / "gone.csv")


# --- evaluation


def values(folder: Path, *lines: str) -> Path:
    path = folder / "values.csv"
    path.write_text("\n".join(["image,value", *lines]) + "\n")
    return path


def test_figures_are_over_the_set_and_the_mean_stands_beside(tmp_path: Path) -> None:
    targets = table(tmp_path, "s0.tiff,1", "s1.tiff,2", "s2.tiff,6")
    found, trivial = evaluate_values(
        values(tmp_path, "s2.tiff,7", "s0.tiff,1", "s1.tiff,4", "other.tiff,9"),
        str(targets),
        METRICS,
        load,
        primary=("mae", False),
    )
    assert found.mean == pytest.approx(
        {"mae": 1.0, "rmse": np.sqrt(5 / 3), "pearson": np.corrcoef([1, 4, 7], [1, 2, 6])[0, 1]}
    )
    assert [case.stem for case in found.ranked()] == ["s0", "s2", "s1"]
    assert found.over_set and "mean of the targets" in found.note
    assert [path.name for path in found.unmatched_predictions] == ["other"]
    assert trivial.mean == pytest.approx({"mae": 2.0, "rmse": np.sqrt(14 / 3), "pearson": 0.0})
    assert trivial.method == "mean of these targets"
    again = Evaluation.from_json(found.to_json())
    assert again == found


def test_targets_in_images_and_targets_without_prediction(tmp_path: Path) -> None:
    for index in range(3):
        tifffile.imwrite(tmp_path / f"s{index}_IM.tiff", np.zeros((8, 8), np.uint8))
        tifffile.imwrite(tmp_path / f"s{index}_GT.tiff", np.full((8, 8), 10 * index, np.uint8))
    found, _ = evaluate_values(values(tmp_path, "s0_IM.tiff,1", "s1_IM.tiff,10"), str(tmp_path), METRICS, load)
    assert found.mean["mae"] == 0.5
    assert [path.name for path in found.unmatched_targets] == ["s2_IM.tiff"]
    with pytest.raises(DataError, match=r"no image of .* has a target"):
        evaluate_values(values(tmp_path, "other.tiff,1"), str(tmp_path), METRICS, load)


def test_a_target_that_cannot_be_used_costs_no_other(tmp_path: Path) -> None:
    for stem, pixels in (("a", np.ones((8, 8))), ("b", np.full((8, 8), np.nan))):
        tifffile.imwrite(tmp_path / f"{stem}_IM.tiff", np.zeros((8, 8), np.uint8))
        tifffile.imwrite(tmp_path / f"{stem}_GT.tiff", pixels.astype(np.float32))
    (tmp_path / "c_IM.tiff").touch()
    (tmp_path / "c_GT.tiff").touch()
    found, _ = evaluate_values(values(tmp_path, "a,3", "b,1", "c,1"), str(tmp_path), METRICS, load)
    assert found.mean["mae"] == 2
    assert {Path(path).name for path in found.errors} == {"b_GT.tiff", "c_GT.tiff"}


def test_what_is_about_numbers(tmp_path: Path) -> None:
    find = partial(find_values, suffixes=(".tiff",))
    assert find(tmp_path) is None
    path = values(tmp_path, "a,1")
    assert find(path) == find(tmp_path) == path
    (tmp_path / "a.tiff").touch()
    assert find(tmp_path) is None  # a folder of images, whatever lies beside them
    assert find(tmp_path / "a.tiff") is None
