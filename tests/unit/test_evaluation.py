"""Matching predictions to targets, judging them, and writing what was found."""

import csv
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tifffile

from im2im_core.builtin.instance_metrics import average_precision
from im2im_core.builtin.metrics import mae, psnr
from im2im_core.errors import DataError, OutputError
from im2im_core.evaluation import Evaluation, Pair, evaluate, evaluate_baseline, match_predictions, write_evaluation
from im2im_core.image import Image

AP = {"average-precision": partial(average_precision, thresholds=(0.5, 0.75))}


def load(path):
    try:
        pixels = tifffile.imread(path)
    except Exception as error:
        raise DataError(f"cannot read '{path}'") from error
    return Image(pixels, "ZYX"[-pixels.ndim :])


def targets(*stems, folder):
    return [(stem, folder / f"{stem}_IM.tiff", folder / f"{stem}_GT.tiff") for stem in stems]


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "cell_1.tiff",
        "cell_1_IM.tiff",
        "cell_1.ome.tiff",
        "cell_1_labels.tif",
        "cell_1_IM_pred.png",
        "cell_1.v_mask.npy",
        "cell_1_GT.PNG",
    ],
)
def test_ways_to_call_a_prediction(tmp_path, name):
    folder = touch(tmp_path / "labels", name)
    stem = "cell_1.v" if ".v" in name else "cell_1"
    matches = match_predictions(folder, targets(stem, "cell_10", folder=tmp_path))
    assert matches.pairs == (Pair(stem, folder / name, tmp_path / f"{stem}_GT.tiff", tmp_path / f"{stem}_IM.tiff"),)
    assert matches.unmatched_targets == (tmp_path / "cell_10_GT.tiff",)


def test_a_zarr_folder_is_a_prediction_and_tables_and_hidden_files_are_not(tmp_path):
    folder = touch(tmp_path / "labels", "evaluation.json", "evaluation.csv", ".hidden.tiff", "report.html")
    (folder / "a.ome.zarr").mkdir()
    (folder / "report_files").mkdir()
    matches = match_predictions(folder, targets("a", folder=tmp_path))
    assert [pair.prediction for pair in matches.pairs] == [folder / "a.ome.zarr"]
    assert matches.unmatched_predictions == ()


def test_what_has_no_partner_or_several_is_named(tmp_path):
    folder = touch(tmp_path / "labels", "a.tiff", "a_labels.tiff", "b.tiff", "other.tiff", "b_2.tiff")
    matches = match_predictions(folder, targets("a", "b", "c", folder=tmp_path))
    assert [pair.stem for pair in matches.pairs] == ["b"]
    assert matches.unmatched_predictions == (folder / "b_2.tiff", folder / "other.tiff")
    assert matches.unmatched_targets == (tmp_path / "c_GT.tiff",)
    assert matches.ambiguous == {tmp_path / "a_GT.tiff": (folder / "a.tiff", folder / "a_labels.tiff")}
    report = evaluate(replace(matches, pairs=()), AP, load)
    assert report.errors[str(tmp_path / "a_GT.tiff")].endswith("'a.tiff', 'a_labels.tiff'")
    assert report.unmatched_targets == matches.unmatched_targets
    assert not report.complete


def test_the_longest_stem_wins(tmp_path):
    folder = touch(tmp_path / "labels", "x_mask.tiff", "x.tiff")
    matches = match_predictions(folder, targets("x", "x_mask", folder=tmp_path))
    assert {pair.stem: pair.prediction.name for pair in matches.pairs} == {"x": "x.tiff", "x_mask": "x_mask.tiff"}


def test_only_the_given_suffixes_are_looked_at(tmp_path):
    folder = touch(tmp_path / "labels", "a.tiff", "a.png")
    assert len(match_predictions(folder, targets("a", folder=tmp_path), (".tiff",)).pairs) == 1


def test_one_file_against_one_target_needs_no_common_name(tmp_path):
    folder = touch(tmp_path / "labels", "result.tiff")
    matches = match_predictions(folder / "result.tiff", targets("cell", folder=tmp_path))
    assert [pair.prediction.name for pair in matches.pairs] == ["result.tiff"]
    assert matches.unmatched_predictions == ()
    assert match_predictions(folder, targets("cell", folder=tmp_path)).pairs == ()


def test_predictions_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(DataError, match="there are no predictions"):
        match_predictions(tmp_path / "nowhere", [])
    with pytest.raises(DataError, match="holds no images"):
        match_predictions(touch(tmp_path / "empty"), [])
    with pytest.raises(DataError, match="two targets have the stem 'a'"):
        match_predictions(touch(tmp_path / "labels", "a.tiff"), targets("a", "a", folder=tmp_path))


@pytest.fixture
def pairs(tmp_path):
    """Three images: found, half found, not found."""
    found = []
    for stem, kept in (("all", 2), ("half", 1), ("none", 0)):
        target = np.zeros((30, 30), dtype=np.uint16)
        target[2:10, 2:10], target[15:25, 15:25] = 1, 2
        prediction = np.where(target <= kept, target, 0).astype(np.uint16)
        paths = [tmp_path / f"{stem}_{role}.tiff" for role in ("pred", "GT", "IM")]
        for path, pixels in zip(paths, (prediction, target, target * 100), strict=True):
            tifffile.imwrite(path, pixels)
        found.append(Pair(stem, *paths))
    return found


def test_figures_are_averaged_over_images_and_objects_counted(pairs):
    seen = []
    result = evaluate(pairs, AP, load, lambda done, total: seen.append((done, total)), method="test")
    assert [case.metrics["ap@0.50"] for case in result.cases] == [1.0, 0.5, 0.0]
    assert result.mean["ap@0.50"] == pytest.approx(0.5)
    assert (result.objects, result.predicted_objects) == (6, 3)
    assert "objects" not in result.mean
    assert result.metrics == ("average-precision",)
    assert (result.primary, result.complete, result.method) == ("ap@0.50", True, "test")
    assert "averaged over images" in result.note
    assert [case.stem for case in result.ranked()] == ["all", "half", "none"]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_ranking_follows_the_way_that_is_good(pairs):
    result = evaluate(pairs, {"mae": mae, "psnr": psnr}, load, primary=("mae", False))
    errors = [case.metrics["mae"] for case in result.ranked()]
    assert errors == sorted(errors) and errors[0] < errors[-1]
    assert result.objects is None
    assert "AP" not in result.note


def test_bad_files_are_named_and_the_rest_is_finished(pairs):
    pairs[0].prediction.write_bytes(b"no image")
    pairs[1].target.unlink()
    tifffile.imwrite(pairs[2].prediction, np.zeros((30, 31), dtype=np.uint16))
    good = pairs[2]._replace(stem="good", prediction=pairs[2].target)
    seen = []
    result = evaluate([*pairs, good], AP, load, lambda done, total: seen.append(done))
    assert [case.stem for case in result.cases] == ["good"]
    assert list(result.errors) == [str(pairs[0].prediction), str(pairs[1].target), str(pairs[2].prediction)]
    assert "size '31' along X" in result.errors[str(pairs[2].prediction)]
    assert result.mean["ap@0.50"] == 1.0
    assert seen == [1, 2, 3, 4]


def test_pixels_that_fail_only_when_decoded_are_bad_files_too(pairs):
    class Damaged:
        shape, dtype = (30, 30), np.dtype(np.uint16)

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("truncated strip")

    def lazy(path):
        return Image(Damaged(), "YX") if path == pairs[1].prediction else load(path)

    result = evaluate(pairs, AP, lazy)
    assert result.errors == {str(pairs[1].prediction): "RuntimeError: truncated strip"}
    assert len(result.cases) == 2


def test_a_figure_that_is_no_number_never_enters_the_mean(pairs):
    result = evaluate(pairs, {"odd": lambda prediction, target: {"odd": float(prediction.max()) / 2 or np.nan}}, load)
    assert list(result.errors) == [str(pairs[2].prediction)]
    assert result.mean == {"odd": 0.75}


def test_axes_are_brought_together(pairs):
    def with_axes(path):
        image = load(path)
        return image if "GT" in path.name else Image(np.asarray(image.data)[None, None], "CZYX")

    assert evaluate(pairs, AP, with_axes).mean == evaluate(pairs, AP, load).mean


def test_nothing_to_judge_gives_an_empty_evaluation():
    result = evaluate([], AP, load)
    assert (result.cases, result.mean, result.primary, result.objects) == ((), {}, "", None)
    assert Evaluation.from_json(result.to_json()) == result


def test_a_baseline_is_computed_from_the_images(pairs):
    def threshold(image):
        assert image.ndim == 2
        return (image // 100).astype(np.int32)

    pairs[1] = pairs[1]._replace(image=None)
    result = evaluate_baseline(pairs, AP, load, threshold, method="division")
    assert [case.stem for case in result.cases] == ["all", "none"]
    assert all(case.prediction_path is None for case in result.cases)
    assert (result.mean["ap@0.50"], result.method) == (1.0, "division")
    pairs[0].image.unlink()
    assert list(evaluate_baseline(pairs, AP, load, threshold).errors) == [str(pairs[0].image)]


@pytest.mark.parametrize(
    ("image_channels", "target_channels", "expected"),
    [(2, 2, (10, 30)), (2, 1, (20,)), (2, 3, (20, 20, 20)), (1, 3, (10, 10, 10))],
    ids=["each channel", "their mean", "their mean for all", "one for all"],
)
def test_a_baseline_of_several_channels(tmp_path, image_channels, target_channels, expected):
    values = {"image": np.array([10, 30][:image_channels]), "target": np.arange(target_channels)}
    pixels = {name: np.broadcast_to(v[:, None, None], (len(v), 6, 5)).astype(np.float32) for name, v in values.items()}
    for name, array in pixels.items():
        np.save(tmp_path / f"{name}.npy", array)
    seen = {}

    def compare(prediction, target):
        seen["prediction"], seen["target"] = prediction, target
        return {"same": 1.0}

    pair = Pair("a", tmp_path / "none.npy", tmp_path / "target.npy", tmp_path / "image.npy")
    result = evaluate_baseline([pair], {"m": compare}, lambda path: Image(np.load(path), "CYX"), lambda image: image)
    assert not result.errors
    assert seen["prediction"].shape == seen["target"].shape
    assert seen["prediction"].reshape(len(expected), 6, 5)[:, 0, 0].tolist() == list(expected)


def test_json_keeps_everything(pairs, tmp_path):
    result = evaluate(pairs, AP, load, method="µ-model <1>")
    result = replace(result, unmatched_predictions=(tmp_path / "x",), errors={"y": "bad"})
    as_json, _ = write_evaluation(result, tmp_path / "new" / "folder")
    content = json.loads(as_json.read_text(encoding="utf-8"))
    assert (content["images"], content["objects"]) == (3, 6)
    assert Evaluation.from_json(as_json.read_text(encoding="utf-8")) == result


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cases": 3}', '"text"'])
def test_other_json_is_refused(text):
    with pytest.raises(DataError, match="no evaluation"):
        Evaluation.from_json(text)


def test_the_table_has_one_row_per_image(pairs, tmp_path):
    result = evaluate([*pairs[:2], pairs[2]._replace(stem='odd, "name"', image=None)], AP, load)
    _, as_csv = write_evaluation(result, tmp_path / "out")
    with as_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["all", "half", 'odd, "name"']
    assert [float(row["ap@0.50"]) for row in rows] == [1.0, 0.5, 0.0]
    assert rows[2]["image_path"] == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["evaluation.csv", "evaluation.json"]


def test_a_place_that_cannot_be_written_is_an_error(pairs, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"evaluation\.json"):
        write_evaluation(evaluate(pairs, AP, load), tmp_path / "file")
