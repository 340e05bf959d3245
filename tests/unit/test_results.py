"""Results written block by block are those of the image at once."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy_model import toy_bundle

from im2im_core import DataError, Image, results
from im2im_core import prediction as prediction_module
from im2im_core.build import Postprocessing
from im2im_core.bundle import open_bundle
from im2im_core.object_table import ObjectTable
from im2im_core.prediction import Predictor
from im2im_core.results import Wanted, predict_blocks, raw_image


@dataclass
class Held:
    """A file in memory."""

    like: Image
    data: Any
    closed: bool = False

    def write_region(self, start: tuple[int, ...], data: Any) -> None:
        self.data[tuple(slice(s, s + n) for s, n in zip(start, data.shape, strict=True))] = data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.data = None


@dataclass
class Shelf:
    """Files in memory."""

    files: list[Held] = field(default_factory=list)

    def create(self, like: Image, shape: tuple[int, ...], dtype: Any) -> Held:
        self.files.append(Held(like, np.full(shape, 77, dtype)))
        return self.files[-1]


class BrightObjects:
    """Connected bright pixels; the score of each is its size."""

    def __call__(self, prediction: Any) -> Any:
        return self.objects(prediction)[0]

    def objects(self, prediction: Any) -> tuple[Any, Any]:
        from skimage.measure import label

        labels = label(prediction[0] > 0.5, connectivity=1)
        return labels, np.bincount(labels.ravel())[1:].astype(np.float32)


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    """Its model hands the image through."""
    import torch

    registry = toy_bundle(tmp_path / "bundle")
    made = Predictor(open_bundle(tmp_path / "bundle", registry), device="cpu")
    made.model = torch.nn.Identity()
    return made


@pytest.fixture
def dots() -> Image:
    """Squares of 5 x 5 pixels on a grid that blocks do not share."""
    data = np.zeros((120, 140), np.float32)
    for top, left in np.ndindex(10, 12):
        data[3 + 11 * top :, 3 + 11 * left :][:5, :5] = 1
    return Image(data, "YX", {"Y": 0.5, "X": 0.5}, ())


def use(predictor: Predictor, monkeypatch: pytest.MonkeyPatch, halo: int | None, *steps: Any, labels: bool) -> None:
    monkeypatch.setattr(predictor, "postprocessing", lambda image: Postprocessing(steps, halo, labels))


def test_an_image(predictor: Predictor, dots: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    use(predictor, monkeypatch, 2, lambda prediction: prediction * 2, labels=False)
    shelf, raw, parts = Shelf(), Shelf(), []
    wanted = Wanted(result=shelf.create, raw=raw.create, objects=True, block=(32, 48))
    assert predict_blocks(predictor, dots, wanted, parts.append) is None
    (result,), (output,) = shelf.files, raw.files
    assert result.closed and output.closed
    np.testing.assert_allclose(result.data[0], 2 * dots.data, atol=1e-6)
    np.testing.assert_allclose(output.data[0], dots.data, atol=1e-6)
    assert result.like.axes == output.like.axes == "CYX"
    assert result.like.pixel_size == {"Y": 0.5, "X": 0.5}
    assert len(parts) == 12
    assert parts[-1] == pytest.approx(1)


def test_without_a_halo_nothing_waits_for_a_block(
    predictor: Predictor, dots: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of windows are written as soon as no later window changes them."""
    use(predictor, monkeypatch, 0, lambda prediction: prediction + 1, labels=False)
    shelf, raw = Shelf(), Shelf()
    regions: list[tuple[int, ...]] = []
    plain = Held.write_region

    def write(self: Held, start: tuple[int, ...], data: Any) -> None:
        regions.append(data.shape)
        plain(self, start, data)

    monkeypatch.setattr(Held, "write_region", write)
    assert predict_blocks(predictor, dots, Wanted(result=shelf.create, raw=raw.create)) is None
    np.testing.assert_allclose(shelf.files[0].data[0], dots.data + 1, atol=1e-6)
    np.testing.assert_allclose(raw.files[0].data[0], dots.data, atol=1e-6)
    assert max(math.prod(shape) for shape in regions) <= 16 * 140
    assert sum(math.prod(shape) for shape in regions) == 2 * dots.data.size


def test_labels_and_their_table(predictor: Predictor, dots: Image, tmp_path: Path, monkeypatch: Any) -> None:
    use(predictor, monkeypatch, 8, BrightObjects(), labels=True)
    shelf = Shelf()
    rows = predict_blocks(predictor, dots, Wanted(shelf.create, objects=True, scratch=tmp_path, block=(32, 48)))
    (result,) = shelf.files
    assert result.closed
    assert result.data.dtype == np.uint16
    np.testing.assert_array_equal(result.data > 0, dots.data > 0)
    assert rows is not None and len(rows) == result.data.max() == 120
    for row in rows:
        assert row["pixels"] == 25
        assert row["score"] == 25
        assert row["area_um2"] == 6.25
        top, left = row["min_y"], row["min_x"]
        assert (row["max_y"], row["max_x"]) == (top + 4, left + 4)
        assert (row["center_y"], row["center_x"]) == (top + 2, left + 2)
        np.testing.assert_array_equal(result.data[top : top + 5, left : left + 5], row["label"])
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"], "what waited on disk is gone"
    assert predict_blocks(predictor, dots, Wanted(Shelf().create, scratch=tmp_path)) is None


def test_a_step_that_needs_the_whole_image(predictor: Predictor, dots: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    use(predictor, monkeypatch, None, lambda prediction: prediction - prediction.mean(), labels=False)
    shelf = Shelf()
    predict_blocks(predictor, dots, Wanted(shelf.create, block=(32, 48)))
    np.testing.assert_allclose(shelf.files[0].data[0], dots.data - dots.data.mean(), atol=1e-6)
    monkeypatch.setattr(results, "MOST_BYTES", 4 * 120 * 140 - 1)
    with pytest.raises(DataError, match="120x140 pixels is too large"):
        predict_blocks(predictor, dots, Wanted(shelf.create))
    assert len(shelf.files) == 1, "no file was begun"


@pytest.mark.parametrize("labels", [False, True])
def test_a_failure_leaves_nothing(
    predictor: Predictor, dots: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: bool
) -> None:
    calls = []

    def fail_late(prediction: Any) -> Any:
        calls.append(prediction)
        if len(calls) == 3:
            raise MemoryError
        return (prediction[0] > 0.5).astype(np.uint8) if labels else prediction

    use(predictor, monkeypatch, 4, fail_late, labels=labels)
    shelf = Shelf()
    wanted = Wanted(shelf.create, raw=shelf.create, scratch=tmp_path, block=(32, 48))
    with pytest.raises(MemoryError):
        predict_blocks(predictor, dots, wanted)
    assert shelf.files
    assert all(file.data is None and not file.closed for file in shelf.files)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_channels_of_the_output_have_names_where_the_model_gives_them(predictor: Predictor, dots: Image) -> None:
    output = np.zeros((2, 120, 140), np.float32)
    assert raw_image(predictor, output, dots).channel_names == ()
    predictor.model.output_names = ("offset", "seed")  # type: ignore[assignment]
    assert raw_image(predictor, output, dots).channel_names == ("offset", "seed")
    assert raw_image(predictor, output[:1], dots).channel_names == ()


def test_what_is_large(predictor: Predictor, dots: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not predictor.is_large(dots)
    monkeypatch.setattr(prediction_module, "WHOLE_PIXELS", 120 * 140 - 1)
    assert predictor.is_large(dots)


def test_a_table_in_pieces_is_the_table_at_once() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 30, (12, 20, 25)) * (rng.random((12, 20, 25)) < 0.3)
    labels[labels == 7] = 0
    whole, pieces = ObjectTable("ZYX", 30), ObjectTable("ZYX", 30)
    whole.add(labels, (0, 0, 0))
    for z, y in np.ndindex(3, 2):
        pieces.add(labels[4 * z : 4 * z + 4, 10 * y : 10 * y + 10], (4 * z, 10 * y, 0))
    rows = whole.rows({"Z": 2.0, "Y": 0.5, "X": 0.5}, np.full(30, np.nan))
    assert pieces.rows({"Z": 2.0, "Y": 0.5, "X": 0.5}) == rows
    assert [row["label"] for row in rows] == sorted(set(range(1, 30)) - {7})
    for row in rows:
        places = np.argwhere(labels == row["label"])
        assert row["pixels"] == len(places)
        assert row["volume_um3"] == pytest.approx(0.5 * len(places))
        assert [row[f"center_{axis}"] for axis in "zyx"] == pytest.approx(places.mean(axis=0), abs=1e-3)
        assert [row[f"min_{axis}"] for axis in "zyx"] == places.min(axis=0).tolist()
        assert [row[f"max_{axis}"] for axis in "zyx"] == places.max(axis=0).tolist()
        assert row["score"] == ""
    assert whole.rows({"Y": 0.5})[0]["volume_um3"] == "", "without the step in Z nothing is known in micrometres"
