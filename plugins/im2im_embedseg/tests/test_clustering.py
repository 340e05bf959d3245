"""Clustering with cells gives exactly the labels of the plain greedy algorithm over all pixels."""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import direct_embedseg as direct

from im2im_embedseg.clustering import cluster, cluster_objects

SETTINGS: dict[str, Any] = {
    "seed_threshold": 0.6,
    "min_mask_sum": 0,
    "min_unclustered_sum": 0,
    "min_object_size": 12,
}
GEOMETRY: dict[int, dict[str, Any]] = {
    2: {"grid": (96, 160), "pixel": (1.0, 1.5), "n_sigma": 2},
    3: {"grid": (16, 64, 64), "pixel": (0.5, 1.0, 1.0), "n_sigma": 3},
}


def generated(dims: int, noise: float = 1.0, seed: int = 0, **changes: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """A prediction and the settings for it."""
    rng = np.random.default_rng(seed)
    labels = direct.blobs({2: (90, 70), 3: (10, 40, 36)}[dims], {2: (5, 4), 3: (1, 3, 3)}[dims], rng)
    geometry = GEOMETRY[dims] | changes
    return direct.trained_prediction(labels, **geometry, rng=rng, noise=noise), geometry | SETTINGS


@pytest.mark.parametrize("case", ["2d_0", "2d_1", "2d_2", "2d_few", "3d_0", "3d_1"])
def test_golden(case: str) -> None:
    arrays, params = direct.golden(f"embedseg_cluster_{case}")
    labels = cluster(
        arrays["prediction"],
        **direct.geometry(params, arrays["prediction"].ndim - 1),
        seed_threshold=params.get("seed_thresh", 0.5),
        min_mask_sum=params["min_mask_sum"],
        min_unclustered_sum=params.get("min_unclustered_sum", 0),
        min_object_size=params.get("min_object_size", 0),
    )
    # In 2D there is also a result in which pixels that founded an object are moved away; that is not done here.
    expected = arrays.get("labels_no_inplace", arrays["labels"])
    assert labels.max() == expected.max()
    assert (labels == expected).mean() >= 0.999


@pytest.mark.parametrize("noise", [0.5, 3.0])
@pytest.mark.parametrize("n_sigma", ["one", "each"])
@pytest.mark.parametrize("dims", [2, 3])
def test_direct(dims: int, n_sigma: str, noise: float) -> None:
    prediction, settings = generated(dims, noise, n_sigma=1 if n_sigma == "one" else dims)
    labels = cluster(prediction, **settings)
    assert labels.dtype == np.uint16 and labels.max() >= 5
    np.testing.assert_array_equal(labels, direct.cluster(prediction, **settings))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dims", [2, 3])
def test_direct_on_noise(dims: int, seed: int) -> None:
    """Embeddings all over the place, bandwidths from a fraction of a pixel to the whole image, equal seed values."""
    _, settings = generated(dims)
    rng = np.random.default_rng(seed)
    prediction = rng.standard_normal((2 * dims + 1, *((30, 26) if dims == 2 else (6, 14, 12)))).astype(np.float32)
    prediction[dims:-1] = 0.3 * prediction[dims:-1] + 0.6
    prediction[-1] = np.round(prediction[-1], 1)
    settings |= {"min_object_size": 2, "seed_threshold": 0.5}
    np.testing.assert_array_equal(cluster(prediction, **settings), direct.cluster(prediction, **settings))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed_threshold": 0.95},
        {"min_object_size": 120},
        {"min_object_size": 0},
        {"min_unclustered_sum": 900},
        {"min_mask_sum": 10**6},
        {"foreground_threshold": 0.9, "seed_threshold": 0.9},
        {"foreground_threshold": 0.1},
    ],
)
def test_settings(changes: dict[str, Any]) -> None:
    prediction, settings = generated(2, noise=2.0)
    settings |= changes
    np.testing.assert_array_equal(cluster(prediction, **settings), direct.cluster(prediction, **settings))


def test_perfect_prediction_gives_the_objects() -> None:
    labels = direct.blobs((90, 70), (5, 4), np.random.default_rng(5))
    prediction = direct.trained_prediction(labels, **GEOMETRY[2], rng=np.random.default_rng(6), noise=0)
    prediction[-1] = np.where(labels > 0, 4, -4)
    found = cluster(prediction, **GEOMETRY[2], **SETTINGS)
    pairs = np.unique(np.stack([labels.ravel(), found.ravel()]), axis=1)
    assert pairs.shape[1] == labels.max() + 1
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_scores_are_the_seed_values_of_the_founders() -> None:
    prediction, settings = generated(2)
    labels, scores = cluster_objects(prediction, **settings)
    assert scores.shape == (labels.max(),)
    assert (np.diff(scores) <= 0).all(), "objects are accepted by falling seed value"
    seed = 1 / (1 + np.exp(-prediction[-1].astype(np.float64)))
    assert np.abs(scores[:, None] - seed.ravel()).min(axis=1).max() < 1e-6
    assert (scores >= settings.get("seed_threshold", 0.5)).all()


def test_beyond_the_grid_of_the_coordinates() -> None:
    prediction, settings = generated(2)
    labels = cluster(prediction, **settings)
    settings["grid"], settings["pixel"] = (48, 54), (47 / 95, 1.5 * 53 / 159)
    np.testing.assert_array_equal(cluster(prediction, **settings) > 0, labels > 0)
    assert cluster(prediction, **settings).max() == labels.max()


@pytest.mark.parametrize("sigma", [-100.0, -3.0, 3.0, 100.0, math.inf, -math.inf])
def test_extreme_bandwidths(sigma: float) -> None:
    """From one proposal of everything to proposals of one pixel, without a grid of cells that fills the memory."""
    prediction, settings = generated(2)
    prediction[2:4] = sigma
    settings["min_object_size"] = 0
    np.testing.assert_array_equal(cluster(prediction, **settings), direct.cluster(prediction, **settings))


def test_equal_embeddings() -> None:
    prediction, settings = generated(2)
    x, y = direct.coordinates(prediction.shape[1:], settings["grid"], settings["pixel"]).numpy()
    prediction[0], prediction[1] = np.arctanh(0.2 - x), np.arctanh(0.5 - y)
    labels = cluster(prediction, **settings)
    np.testing.assert_array_equal(labels, direct.cluster(prediction, **settings))
    assert labels.max() == 1


def test_more_objects_than_16_bits_hold() -> None:
    side = 257
    prediction = np.zeros((5, side, 3 * side), np.float32)
    # Three neighbours meet at the middle one, and proposals reach less than half a pixel.
    prediction[0] = np.tile(np.arctanh(np.array([1, 0, -1]) / 1023), side)
    prediction[2:4] = math.log(math.log(2) / (0.4 / 1023) ** 2) / 10
    prediction[-1] = 2
    labels = cluster(prediction, grid=(1024, 1024), pixel=(1.0, 1.0), n_sigma=2, **SETTINGS | {"min_object_size": 2})
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, np.arange(1, side**2 + 1).reshape(side, side).repeat(3, axis=1))


def test_nothing_to_cluster() -> None:
    prediction, settings = generated(2)
    prediction[-1] = -5
    labels = cluster(prediction, **settings)
    assert labels.dtype == np.uint16 and labels.shape == prediction.shape[1:] and not labels.any()
    assert cluster(np.zeros((5, 0, 7), np.float32), **settings).shape == (0, 7)


@pytest.mark.parametrize("channel", range(5))
def test_nan(channel: int) -> None:
    prediction, settings = generated(2)
    prediction[channel, 3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        cluster(prediction, **settings)


def test_shapes_must_fit() -> None:
    prediction, settings = generated(2)
    with pytest.raises(ValueError, match="4 channels, expected 5"):
        cluster(prediction[1:], **settings)
    with pytest.raises(ValueError, match="spatial_dims"):
        cluster(prediction[:, 0], **settings)
    with pytest.raises(ValueError, match="3 numbers"):
        cluster(prediction[:, None], **settings | {"n_sigma": 1})


def test_same_result_each_time_and_input_untouched() -> None:
    prediction, settings = generated(3)
    before = prediction.copy()
    prediction.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = cluster(prediction, **settings)
    np.testing.assert_array_equal(labels, cluster(prediction, **settings))
    np.testing.assert_array_equal(prediction, before)


def test_other_layouts_and_types() -> None:
    prediction, settings = generated(2)
    labels = cluster(prediction, **settings)
    np.testing.assert_array_equal(cluster(prediction.astype(np.float64), **settings), labels)
    np.testing.assert_array_equal(cluster(np.asfortranarray(prediction), **settings), labels)
    half = prediction.astype(np.float16)
    np.testing.assert_array_equal(cluster(half, **settings), cluster(half.astype(np.float32), **settings))
