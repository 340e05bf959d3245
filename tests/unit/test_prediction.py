"""Window by window: every pixel once, and the same pixels however the image is cut."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy_model import toy_bundle

from im2im_core import ConfigError, DataError, Image
from im2im_core import prediction as prediction_module
from im2im_core.bundle import open_bundle
from im2im_core.prediction import Predictor
from im2im_core.regions import CONTEXT, fit_steps, prepared


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Opened bundles: 2D, two channels, 3D."""
    folder = tmp_path_factory.mktemp("bundles")
    made = {
        "2d": ((1, 1), (16, 16)),
        "two": ((2, 3), (16, 16)),
        "3d": ((1, 1), (8, 16, 16)),
    }
    opened = {}
    for name, (channels, window) in made.items():
        registry = toy_bundle(folder / name, channels=channels, window=window)
        opened[name] = open_bundle(folder / name, registry)
    return opened


def image(*shape: int, axes: str = "YX") -> Image:
    data = np.random.default_rng(1).random(shape).astype(np.float32)
    return Image(data, axes, {"Y": 0.5, "X": 0.5}, ())


def whole(predictor: Predictor, source: Image) -> Any:
    """The network on the whole image at once."""
    import torch

    with torch.inference_mode():
        data = torch.from_numpy(np.asarray(source.channels_first(predictor.spatial_dims).data)[None])
        return predictor.model(data)[0].numpy()


@pytest.mark.parametrize(
    ("name", "shape", "axes"),
    [("2d", (150, 97), "YX"), ("two", (2, 80, 131), "CYX"), ("3d", (20, 45, 50), "ZYX")],
)
@pytest.mark.parametrize("overlap", [0.25, 0.6])
def test_cutting_into_blocks_changes_nothing(
    bundles: dict[str, Any],
    name: str,
    shape: tuple[int, ...],
    axes: str,
    overlap: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = Predictor(bundles[name], device="cpu", overlap=overlap)
    source = image(*shape, axes=axes)
    at_once = predictor.raw(source)
    monkeypatch.setattr(prediction_module, "WHOLE_PIXELS", 24**predictor.spatial_dims)
    parts: list[float] = []
    in_blocks = predictor.raw(source, parts.append)
    assert len(parts) > 2
    assert parts[-1] == 1
    assert parts == sorted(parts)
    np.testing.assert_allclose(in_blocks, at_once, rtol=0, atol=1e-5)
    assert at_once.std() > 0.01


def test_windows_agree_with_the_whole_image_where_a_window_has_no_edge(bundles: dict[str, Any]) -> None:
    predictor = Predictor(bundles["2d"], device="cpu", window=(32, 32), overlap=0.5)
    source = image(70, 90)
    expected = whole(predictor, source)
    found = predictor.raw(source)
    assert found.shape == expected.shape
    # Zero padding makes a window wrong at its edge only, where blending gives it the least weight.
    difference = np.abs(found - expected)[:, 2:-2, 2:-2]
    assert difference.mean() < 0.01 * expected.std()
    # No window of this size begins or ends here, so nothing may differ.
    np.testing.assert_allclose(found[:, 4:12, 4:12], expected[:, 4:12, 4:12], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 5), (15, 17), (16, 16), (17, 31), (1, 16)])
def test_images_of_any_size(bundles: dict[str, Any], shape: tuple[int, int]) -> None:
    predictor = Predictor(bundles["2d"], device="cpu")
    source = image(*shape)
    result = predictor.predict(source)
    assert result.axes == "CYX"
    assert result.shape == (1, *shape)
    assert np.isfinite(result.data).all()
    assert result.pixel_size == {"Y": 0.5, "X": 0.5}
    if max(shape) <= 16:
        np.testing.assert_allclose(result.data, whole(predictor, source), atol=1e-6)


@pytest.mark.parametrize("shape", [(10, 50), (23, 24), (1, 7)])
def test_what_is_smaller_than_a_training_patch_is_continued_as_in_training(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    registry = toy_bundle(tmp_path / "bundle", "dataset.patch_size=24", window=(32, 32))
    predictor = Predictor(open_bundle(tmp_path / "bundle", registry), device="cpu", window=(64, 64))
    source = image(*shape)
    added = [max(0, 24 - length) for length in shape]
    padded = np.pad(np.asarray(source.data), [(n // 2, n - n // 2) for n in added], mode="symmetric")
    expected = whole(predictor, Image(padded, "YX"))
    inside = (slice(None), *(slice(n // 2, n // 2 + length) for n, length in zip(added, shape, strict=True)))
    np.testing.assert_allclose(predictor.raw(source), expected[inside], atol=1e-6)
    # Its own edges are no edges to the network, which zeros beyond them would have made of them.
    assert not np.allclose(predictor.raw(source), whole(predictor, source), atol=1e-3)


def test_one_voxel(bundles: dict[str, Any]) -> None:
    result = Predictor(bundles["3d"], device="cpu").predict(image(1, 1, 1, axes="ZYX"))
    assert (result.axes, result.shape) == ("CZYX", (1, 1, 1, 1))


def test_only_asked_for_regions_are_read(bundles: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import dask.array as da

    largest = 0

    def chunk(block: Any) -> Any:
        return block

    class Watched:
        """An array that notes how much is taken from it."""

        def __init__(self, data: Any) -> None:
            self.data, self.shape, self.dtype = data, data.shape, data.dtype

        def transpose(self, axes: Any) -> Watched:
            return Watched(self.data.transpose(axes))

        def __getitem__(self, key: Any) -> Watched:
            return Watched(self.data[key])

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            nonlocal largest
            largest = max(largest, int(np.prod(self.shape)))
            return np.asarray(self.data)

    monkeypatch.setattr(prediction_module, "WHOLE_PIXELS", 32 * 32)
    data = da.from_array(np.random.default_rng(0).random((300, 200)).astype(np.float32), chunks=(20, 20))
    source = Image(Watched(data.map_blocks(chunk)), "YX", {}, ())
    result = Predictor(bundles["2d"], device="cpu").raw(source)
    assert result.shape == (1, 300, 200)
    assert largest == 16 * 200, "one row of windows"


def test_a_step_sees_as_much_around_a_region_as_it_says() -> None:
    seen = []

    class Near:
        context = 3

        def __call__(self, sample: Any) -> Any:
            seen.append(sample["image"].shape)
            return sample

    source = Image(np.arange(300 * 200, dtype=np.float32).reshape(1, 300, 200), "CYX")
    region = (slice(100, 110), slice(0, 20))
    for steps, shape in (
        ([Near()], (1, 16, 23)),
        ([Near(), Near()], (1, 22, 26)),
        ([Near(), lambda sample: sample], (1, 16 + 2 * CONTEXT, 23 + CONTEXT)),
    ):
        np.testing.assert_array_equal(prepared(source, region, steps), source.data[:, 100:110, :20])
        assert seen[-1] == shape


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_a_number(bundles: dict[str, Any], value: float) -> None:
    source = image(40, 40)
    source.data[39, 39] = value  # type: ignore[index]
    with pytest.raises(DataError) as caught:
        Predictor(bundles["2d"], device="cpu").predict(source)
    assert "NaN" in caught.value.message
    assert caught.value.hint


def test_wrong_channels_and_dimensions(bundles: dict[str, Any]) -> None:
    flat, deep, two = (Predictor(bundles[name], device="cpu") for name in ("2d", "3d", "two"))
    with pytest.raises(DataError, match=r"has 3 channel\(s\), the model was trained on 1"):
        flat.predict(image(3, 20, 20, axes="CYX"))
    with pytest.raises(DataError, match=r"has 1 channel\(s\), the model was trained on 2"):
        two.predict(image(20, 20))
    with pytest.raises(DataError, match="Z=5 would be lost"):
        flat.predict(image(5, 20, 20, axes="ZYX"))
    with pytest.raises(DataError, match="T=4 would be lost"):
        deep.predict(image(4, 20, 20, axes="TYX"))
    with pytest.raises(DataError, match="is empty"):
        flat.predict(image(0, 20))


def test_pixels_that_cannot_be_decoded_are_an_error_of_the_data(bundles: dict[str, Any]) -> None:
    class Broken:
        shape, dtype = (20, 20), np.dtype(np.uint8)

        def transpose(self, axes: Any) -> Broken:
            return self

        def __getitem__(self, key: Any) -> Broken:
            self.shape = (1, 20, 20)
            return self

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise OSError("unexpected end of stream")

    with pytest.raises(DataError) as caught:
        Predictor(bundles["2d"], device="cpu").predict(Image(Broken(), "YX", {}, ()))
    assert "the pixels cannot be read: OSError: unexpected end of stream" in caught.value.message


def test_statistics_of_the_preprocessing_come_from_the_whole_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = toy_bundle(tmp_path / "bundle", "preprocessing=[normalize-percentile]")
    predictor = Predictor(open_bundle(tmp_path / "bundle", registry), device="cpu")
    ramp = Image(np.linspace(0, 1000, 120 * 120).reshape(120, 120).astype(np.float32), "YX", {}, ())
    at_once = predictor.raw(ramp)
    monkeypatch.setattr(prediction_module, "WHOLE_PIXELS", 24 * 24)
    np.testing.assert_allclose(predictor.raw(ramp), at_once, atol=1e-5)


def test_unknown_device(bundles: dict[str, Any]) -> None:
    for name in ("gpuu", "cuda:99"):
        with pytest.raises(ConfigError) as caught:
            Predictor(bundles["2d"], device=name)
        assert f"device '{name}'" in caught.value.message


def test_second_normalization_sees_what_the_first_made():
    """Fitted on the raw image, a second normalization would scale by statistics that no longer hold."""
    from im2im_core.builtin.transform_config import NormalizeConfig
    from im2im_core.builtin.transforms import build_minmax

    steps = [build_minmax(NormalizeConfig()), build_minmax(NormalizeConfig())]
    image = Image(np.linspace(100, 300, 64, dtype=np.float32).reshape(1, 8, 8), "CYX")
    sample = {"image": image.compute()}
    for step in fit_steps(steps, image):
        sample = step(sample)
    assert float(np.asarray(sample["image"]).min()) == pytest.approx(0)
    assert float(np.asarray(sample["image"]).max()) == pytest.approx(1)
