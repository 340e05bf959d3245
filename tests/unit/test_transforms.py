"""Normalization, and MONAI's transforms by name."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from im2im_core.builtin.data_declarations import TRANSFORMS
from im2im_core.builtin.transforms import MOST_PIXELS, monai_defaults, monai_transform, sub_sample
from im2im_core.errors import ComponentError, ConfigError, DataError
from im2im_core.image import Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
DECLARED = {declaration.name: declaration for declaration in TRANSFORMS}


def build(name, **settings):
    return DECLARED[name].factory(DECLARED[name].config(**settings))


def random_image(channels=2, shape=(60, 50), dtype=np.float32):
    return (np.random.default_rng(0).gamma(2.0, 100.0, (channels, *shape)) + 50).astype(dtype)


def test_percentile():
    image = random_image()
    result = build("normalize-percentile", low=2, high=99)({"image": image})["image"]
    assert result.dtype == np.float32
    for channel in range(2):
        low, high = np.percentile(image[channel].astype(float), [2, 99])
        assert np.allclose(result[channel], (image[channel] - low) / (high - low), atol=1e-5)
    assert result.max() > 1
    assert result.min() < 0


def test_percentile_clips_on_request():
    result = build("normalize-percentile", low=2, high=99, clip=True)({"image": random_image()})["image"]
    assert (result.min(), result.max()) == (0, 1)
    assert 0.005 < (result == 1).mean() < 0.02


def test_zscore():
    result = build("normalize-zscore")({"image": random_image(dtype=np.uint16)})["image"]
    assert np.allclose(result.mean(axis=(1, 2)), 0, atol=1e-4)
    assert np.allclose(result.std(axis=(1, 2)), 1, atol=1e-4)


def test_minmax():
    result = build("normalize-minmax")({"image": random_image()})["image"]
    assert np.allclose(result.min(axis=(1, 2)), 0)
    assert np.allclose(result.max(axis=(1, 2)), 1)


def test_channels_together():
    image = np.stack([np.zeros((4, 4)), np.full((4, 4), 10.0)])
    assert set(build("normalize-minmax", per_channel=False)({"image": image})["image"].flat) == {0, 1}
    assert set(build("normalize-minmax")({"image": image})["image"].flat) == {0}


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("value", [0.0, 0.1, 65535.0])
def test_a_constant_image_becomes_zeros(name, value):
    result = build(name)({"image": np.full((1, 33, 7), value, np.float32)})["image"]
    assert (result == 0).all()


def test_a_nearly_empty_image_is_not_lost():
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 50, 50:55] = 200
    result = build("normalize-percentile")({"image": image})["image"]
    assert result[0, 50, 52] == 1
    assert result.min() == 0


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_an_error(name, bad):
    image = random_image()
    image[1, 3, 3] = bad
    with pytest.raises(DataError, match="the image holds NaN or infinite"):
        build(name)({"image": image})
    with pytest.raises(DataError, match="NaN"):
        build(name).fit(image)


@pytest.mark.parametrize("name", DECLARED)
def test_an_empty_image_is_an_error(name):
    with pytest.raises(DataError, match="empty"):
        build(name)({"image": np.zeros((1, 0, 5))})


@pytest.mark.parametrize("name", DECLARED)
def test_statistics_of_the_whole_apply_to_windows(name):
    image = random_image(3, (40, 30))
    transform = build(name)
    whole = transform({"image": image})["image"]
    fitted = transform.fit(Image(image, "CYX"))
    assert np.allclose(fitted({"image": image[:, 10:20, 5:9]})["image"], whole[:, 10:20, 5:9], atol=1e-6)
    assert np.array_equal(transform.fit(image)({"image": image})["image"], whole)


def test_fit_takes_axes_as_they_come():
    image = random_image(3, (40, 30))
    fitted = build("normalize-minmax").fit(Image(image.transpose(1, 2, 0), "YXC"))
    assert np.allclose(fitted({"image": image})["image"].max(axis=(1, 2)), 1)
    plane = build("normalize-minmax").fit(Image(image[0], "YX"))
    assert plane({"image": image[:1]})["image"].max() == pytest.approx(1)


class Counting:
    """An array that notes which shapes were asked for, as a lazy one would decode them."""

    def __init__(self, shape):
        self.shape = shape
        self.dtype = np.dtype(np.uint8)
        self.asked = []

    def __getitem__(self, key):
        lengths = [len(range(*part.indices(n))) for part, n in zip(key, self.shape, strict=True)]
        self.asked.append(tuple(lengths))
        return np.random.default_rng(0).integers(0, 255, lengths, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 30_000, 20_000), (2, 10, 9_000, 9_000), (1, 100_000_000, 1), (1, 2000, 2000)])
def test_large_images_are_sub_sampled(shape):
    data = Counting(shape)
    pixels = sub_sample(data)
    assert data.asked == [pixels.shape]
    per_channel = np.prod([float(n) for n in pixels.shape[1:]])
    assert MOST_PIXELS / 3 < per_channel <= MOST_PIXELS
    assert pixels.shape[0] == shape[0]
    if len(shape) == 4:
        assert pixels.shape[1] == 10


def test_sub_sampling_hardly_changes_the_result():
    image = random_image(1, (3000, 2500))
    offset = build("normalize-percentile").fit(image).offset[0]
    assert offset == pytest.approx(np.percentile(image, 1.0), rel=0.01)


def test_only_the_named_parts_change():
    sample = {"image": random_image(), "target": random_image(1), "costmap": np.ones((1, 60, 50), np.float32)}
    result = build("normalize-zscore", keys=("image", "target", "absent"))(sample)
    assert abs(float(result["target"].mean())) < 1e-4
    assert result["costmap"] is sample["costmap"]
    assert sample["image"].mean() > 100
    assert set(result) == set(sample)


def test_fit_leaves_an_image_that_is_not_named():
    image = random_image()
    assert build("normalize-zscore", keys=("target",)).fit(image)({"image": image})["image"] is image


def test_tensors_and_arrays_alike():
    image = random_image()
    for name in DECLARED:
        result = build(name)({"image": torch.from_numpy(image)})["image"]
        assert isinstance(result, torch.Tensor)
        assert np.allclose(result.numpy(), build(name)({"image": image})["image"], atol=1e-6)


def test_three_dimensions_and_copying():
    image = random_image(2, (5, 20, 20))
    transform = copy.deepcopy(build("normalize-percentile"))
    assert transform({"image": image})["image"].shape == (2, 5, 20, 20)


@pytest.mark.parametrize("settings", [{"low": 50, "high": 50}, {"low": -1}, {"high": 101}, {"keys": ()}, {"hgh": 3}])
def test_wrong_settings(settings):
    with pytest.raises(ValueError, match=r"low must be below high|greater|less|at least 1|Extra inputs"):
        DECLARED["normalize-percentile"].config(**settings)


def test_every_setting_is_described():
    for declaration in TRANSFORMS:
        assert all(field.description for field in declaration.config.model_fields.values())


def sample_of(shape=(24, 24)):
    labels = np.zeros((1, *shape), np.int32)
    labels[:, 5:12, 6:20] = 7
    return {
        "image": torch.from_numpy(labels.astype(np.float32) * 2),
        "target": torch.from_numpy(labels),
        "costmap": torch.from_numpy((labels > 0).astype(np.float32)),
    }


def test_monai_moves_all_parts_alike():
    result = monai_transform("RandFlipd", {"prob": 1.0, "spatial_axis": 0})(sample_of())
    assert torch.equal(torch.as_tensor(result["image"]), torch.as_tensor(result["target"]) * 2.0)
    assert not torch.equal(torch.as_tensor(result["target"]), sample_of()["target"])


def test_monai_changes_intensities_of_the_image_only():
    result = monai_transform("RandGaussianNoised", {"prob": 1.0})(sample_of())
    assert not torch.equal(torch.as_tensor(result["image"]), sample_of()["image"])
    assert torch.equal(torch.as_tensor(result["target"]), sample_of()["target"])


@pytest.mark.parametrize("name", ["RandAffined", "RandRotated", "RandZoomd", "Rand2DElasticd", "RandGridDistortiond"])
def test_monai_keeps_labels_whole(name):
    needed = {"Rand2DElasticd": {"spacing": [8, 8], "magnitude_range": [1, 2]}}.get(name, {})
    ranges = {"RandRotated": {"range_x": 1.0}, "RandZoomd": {"min_zoom": 0.6, "max_zoom": 0.8}}.get(name, {})
    transform = monai_transform(name, {"prob": 1.0, **needed, **ranges})
    transform.set_random_state(seed=1)
    result = transform(sample_of())
    assert set(torch.as_tensor(result["target"]).unique().tolist()) <= {0.0, 7.0}


def test_monai_without_a_costmap():
    sample = sample_of()
    del sample["costmap"]
    assert set(monai_transform("RandFlipd", {"prob": 1.0})(sample)) == {"image", "target"}


def test_monai_settings_given_are_kept():
    settings = monai_defaults("RandAffined", {"mode": "bilinear", "keys": ["image"], "prob": 0.3})
    assert (settings["mode"], settings["keys"], settings["prob"]) == ("bilinear", ["image"], 0.3)
    monai_transform("RandGridDistortiond", {"mode": ["bilinear", "nearest"], "keys": ["image", "target"]})
    assert monai_defaults("RandZoomd", {})["mode"] == ["area", "nearest", "nearest"]


def test_monai_settings_written_out_in_full_mean_the_same():
    from im2im_core.signatures import monai_transforms

    for name in ("RandAffined", "RandZoomd", "RandGaussianNoised", "RandFlipd", "RandAdjustContrastd"):
        full = {p.name: p.default for p in monai_transforms()[name].parameters if not p.required}
        assert monai_defaults(name, full) == monai_defaults(name, {})
        monai_transform(name, full)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("RandFlipd", {"prop": 1}, ConfigError, "did you mean prob"),
        ("RandAffined", {"prob": "no"}, ConfigError, "must be a number"),
        ("RandGridDistortiond", {"num_cells": "x", "distort_limit": 3}, ConfigError, "num_cells|distort"),
        ("LoadImaged", {}, ComponentError, "no transform 'LoadImaged'"),
        ("Lambdad", {"func": "x"}, ComponentError, "no transform 'Lambdad'"),
        ("Compose", {}, ComponentError, "no transform 'Compose'"),
    ],
)
def test_monai_mistakes(name, arguments, error, message):
    with pytest.raises(error, match=message):
        monai_transform(name, arguments)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared images are not part of the repository")
def test_real_nuclei_have_a_dark_background_near_zero():
    tifffile = pytest.importorskip("tifffile")
    for path in sorted((SHARED / "data/nuclei2d/train").glob("*_IM.tiff"))[:5]:
        image = tifffile.imread(path)
        labels = tifffile.imread(str(path).replace("_IM", "_GT"))
        result = build("normalize-percentile")({"image": image[None]})["image"][0]
        assert result[labels > 0].mean() > result[labels == 0].mean()
        assert -0.5 < result.min() <= 0
