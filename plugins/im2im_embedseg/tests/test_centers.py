"""Centres: one pixel per object, by three definitions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import direct_embedseg as direct

from im2im_embedseg.centers import Method, center_image, object_centers
from im2im_embedseg.instances import find_instances

METHODS: tuple[Method, ...] = get_args(Method)


@pytest.mark.parametrize("method", METHODS)
def test_golden_2d(method: Method) -> None:
    arrays, _ = direct.golden("center_image_2d")
    np.testing.assert_array_equal(center_image(arrays["labels"], method), arrays[f"center_{method.replace('-', '_')}"])


@pytest.mark.parametrize(("anisotropy", "speed_up"), [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("method", METHODS)
def test_golden_3d(method: Method, anisotropy: int, speed_up: int) -> None:
    arrays, _ = direct.golden("center_image_3d")
    marks = center_image(arrays["labels"], method, anisotropy_factor=anisotropy, speed_up=speed_up)
    key = f"center_{method.replace('-', '_')}_a{anisotropy}_s{speed_up}"
    np.testing.assert_array_equal(marks, arrays[key])


@pytest.mark.parametrize("shape", [(40, 50), (6, 30, 28)])
@pytest.mark.parametrize("method", METHODS)
def test_object_by_object(shape: tuple[int, ...], method: Method) -> None:
    labels = direct.blobs(shape, (2, 3, 3)[-len(shape) :], np.random.default_rng(0))
    labels[labels == 3] = 40_000
    marks = center_image(labels, method)
    assert marks.dtype == np.uint8 and marks.shape == shape
    assert marks.sum() == len(np.unique(labels)) - 1
    for number in np.unique(labels)[1:]:
        pixels = np.argwhere(labels == number)
        if method == "centroid":
            chosen = np.rint(pixels.mean(0)).astype(int)
        elif method == "approximate-medoid":
            chosen = pixels[((pixels - np.median(pixels, axis=0)) ** 2).sum(1).argmin()]
        else:
            # Where two pixels are equally good up to rounding, either will do.
            distances = np.linalg.norm(pixels[:, None] - pixels[None], axis=2).sum(1)
            (chosen,) = pixels[marks[tuple(pixels.T)] == 1]
            assert distances[(pixels == chosen).all(1)] == pytest.approx(distances.min(), rel=1e-6)
        assert marks[tuple(chosen)] == 1


def test_anisotropy_stretches_z() -> None:
    labels = (np.random.default_rng(9).random((6, 5, 4)) < 0.2).astype(int)
    pixels = np.argwhere(labels)
    stretched = pixels * [5.0, 1, 1]
    distances = np.linalg.norm(stretched[:, None] - stretched[None], axis=2).sum(1)
    marks = center_image(labels, "medoid", anisotropy_factor=5.0)
    assert distances[marks[tuple(pixels.T)] == 1] == pytest.approx(distances.min(), rel=1e-6)
    assert not np.array_equal(marks, center_image(labels, "medoid"))


def test_no_objects() -> None:
    assert not center_image(np.zeros((5, 6), np.uint16), "medoid").any()


@pytest.mark.parametrize("method", METHODS)
def test_single_pixel(method: Method) -> None:
    labels = np.zeros((5, 6), np.uint16)
    labels[3, 5] = 9
    np.testing.assert_array_equal(center_image(labels, method), labels > 0)


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match="unknown centre 'middle'"):
        center_image(np.ones((3, 3), int), "middle")  # type: ignore[arg-type]


def test_bad_speed_up() -> None:
    with pytest.raises(ValueError, match="speed_up"):
        center_image(np.ones((3, 3), int), "centroid", speed_up=0)


@pytest.mark.parametrize("method", ["approximate-medoid", "medoid"])
def test_coordinates_of_a_batch(method: Method) -> None:
    rng = np.random.default_rng(1)
    labels = np.stack([direct.blobs((30, 40), (2, 3), rng) for _ in range(2)])
    coordinates = direct.coordinates((30, 40), (64, 128), (1.0, 2.0)).float()
    found = find_instances(torch.from_numpy(labels).reshape(2, -1))
    centers = object_centers(found, coordinates, method)
    expected = []
    for image in labels:
        marks = center_image(image, method)
        order = np.argsort(image[marks == 1])
        expected.append(coordinates[:, marks == 1].t()[torch.from_numpy(order)])
    torch.testing.assert_close(centers, torch.cat(expected))


def test_marks_win_only_when_there_is_exactly_one() -> None:
    labels = torch.zeros(1, 1, 8, 12)
    labels[..., 1:4, 0:3], labels[..., 1:4, 4:7], labels[..., 1:4, 8:11] = 1, 2, 3
    marks = torch.zeros_like(labels)
    marks[..., 1, 0] = 255
    marks[..., 1, 4:6] = 255
    coordinates = direct.coordinates((8, 12), (9, 13), (8.0, 12.0)).float()
    centers = object_centers(find_instances(labels.reshape(1, -1)), coordinates, center_image=marks)
    torch.testing.assert_close(centers, torch.tensor([[0.0, 1.0], [5.0, 2.0], [9.0, 2.0]]))
