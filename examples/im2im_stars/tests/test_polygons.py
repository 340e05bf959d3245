"""Polygons: overlap, suppression, labels; and rays that are turned back."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from scipy.special import logit
from skimage.draw import polygon2mask

from im2im_core import DataError
from im2im_core.demo_images import make_nuclei
from im2im_core.sampling import turned
from im2im_stars.config import StarNmsConfig, thresholds
from im2im_stars.model import StarConvex
from im2im_stars.polygons import areas, corners, ious, suppress
from im2im_stars.postprocessing import StarNms
from im2im_stars.targets import star_targets


def perfect(labels: np.ndarray, rays: int = 32) -> np.ndarray:
    """Targets as a prediction (1 + rays, Y, X)."""
    probability, distances = star_targets(torch.from_numpy(labels.astype(np.int32))[None, None], rays)
    return np.concatenate([logit(np.clip(probability[0].numpy(), 1e-6, 1 - 1e-6)), distances[0].numpy()])


def circles(*centers: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Centres and distances of circles (Y, X, radius)."""
    array = np.array(centers)
    return array[:, :2], np.repeat(array[:, 2:], 64, axis=1)


def test_overlap_of_circles() -> None:
    center, distance = circles((0, 0, 10), (0, 0, 10), (0, 8, 10), (3, 0, 5), (30, 0, 10))
    np.testing.assert_allclose(areas(distance)[0], math.pi * 100, rtol=2e-3)
    lens = 2 * 100 * math.acos(0.4) - 4 * math.sqrt(400 - 64)
    expected = [1, 1, lens / (200 * math.pi - lens), 0.25, 0]
    np.testing.assert_allclose(ious(center[0], distance[0], center, distance), expected, atol=0.02)


def test_overlap_of_stars_is_that_of_their_pixels() -> None:
    rng = np.random.default_rng(0)
    center, distance = rng.uniform(80, 120, (20, 2)), rng.uniform(30, 50, (20, 32))
    masks = [polygon2mask((200, 200), corner) for corner in corners(center, distance)]
    for index in (0, 7):
        expected = [(masks[index] & mask).sum() / (masks[index] | mask).sum() for mask in masks]
        np.testing.assert_allclose(ious(center[index], distance[index], center, distance), expected, atol=0.03)


def test_of_two_that_overlap_the_better_is_kept_and_of_two_apart_both() -> None:
    center, distance = circles((20, 20, 10), (20, 23, 10), (20, 60, 10), (20, 39, 10), (21, 21, 4))
    assert suppress(center, distance, 0.4).tolist() == [0, 2, 3, 4]
    assert suppress(center, distance, 0.1).tolist() == [0, 2, 3]


@pytest.mark.parametrize("spacing", [1, 2, 3])
def test_a_perfect_prediction_gives_the_labels(spacing: int) -> None:
    _, labels = make_nuclei(np.random.default_rng(3), (160, 150), density=12)
    found, scores = StarNms(StarNmsConfig(spacing=spacing)).objects(perfect(labels))
    assert labels.max() > 5
    assert found.dtype == np.int32 and sorted(np.unique(found)) == list(range(labels.max() + 1))
    assert len(scores) == labels.max() and (scores > 0.5).all() and (np.diff(scores) <= 0).all()
    for label in range(1, labels.max() + 1):
        best = max(
            ((labels == label) & (found == other)).sum() / ((labels == label) | (found == other)).sum()
            for other in np.unique(found[labels == label])
        )
        assert best > 0.8


def test_the_better_object_lies_on_top_and_hidden_ones_are_gone() -> None:
    prediction = np.zeros((33, 40, 40), np.float32)
    prediction[0] = -9
    for y, x, radius, score in ((20, 20, 10, 3), (20, 21, 3, 2), (20, 32, 6, 1)):
        prediction[0, y, x], prediction[1:, y, x] = score, radius
    labels, scores = StarNms(StarNmsConfig(spacing=1)).objects(prediction)
    assert np.unique(labels).tolist() == [0, 1, 2] and len(scores) == 2
    assert labels[20, 28] == labels[20, 21] == 1 and labels[20, 33] == 2
    labels, scores = StarNms(StarNmsConfig(spacing=1, min_object_size=120)).objects(prediction)
    assert np.unique(labels).tolist() == [0, 1] and len(scores) == 1


@pytest.mark.parametrize("value", [0.0, -5.0])
def test_no_object(value: float) -> None:
    labels, scores = StarNms(StarNmsConfig(probability=0.3)).objects(np.full((33, 20, 21), value).clip(None, 0))
    assert labels.shape == (20, 21) and not labels.any() and len(scores) == 0


@pytest.mark.parametrize("prediction", [np.full((33, 8, 8), np.nan), np.zeros((2, 8, 8)), np.zeros((8, 8))])
def test_what_is_no_prediction(prediction: np.ndarray) -> None:
    with pytest.raises(DataError):
        StarNms(StarNmsConfig()).objects(prediction)


def test_thousands_of_objects_take_seconds() -> None:
    y, x = np.mgrid[8:1024:16, 8:1024:16]
    labels = np.zeros((1024, 1024), np.int32)
    v, u = np.indices((16, 16)) - 8
    for number, (a, b) in enumerate(zip(y.ravel(), x.ravel(), strict=True), start=1):
        labels[a - 8 : a + 8, b - 8 : b + 8][v**2 + u**2 < 40] = number
    prediction = perfect(labels)
    before = time.monotonic()
    found, _ = StarNms(StarNmsConfig()).objects(prediction)
    assert found.max() == labels.max() == 4096
    assert time.monotonic() - before < 30


def test_thresholds_to_try() -> None:
    assert thresholds(StarNmsConfig(tune=False)) == []
    assert all(StarNmsConfig(**proposal) for proposal in thresholds(StarNmsConfig()))


class Perfect(torch.nn.Module):
    """Takes an image of labels, and predicts its targets."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat(star_targets(image, 16), dim=1)


def test_rays_of_turned_images_are_turned_back() -> None:
    model = StarConvex(Perfect(), None, None, None, initial_radius=10.0)
    labels = torch.from_numpy(make_nuclei(np.random.default_rng(5), (60, 90))[1].astype(np.float32))[None, None]
    assert labels.max() > 1
    with torch.inference_mode():
        expected = model(labels)
        for index in range(8):
            torch.testing.assert_close(turned(model, index)(labels), expected, rtol=0, atol=1e-5)
        assert torch.equal(model.undo(expected, turns=4, flip=False), expected)
        assert not torch.equal(model.undo(expected, turns=1, flip=False), expected)
