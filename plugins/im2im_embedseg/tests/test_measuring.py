"""All objects at once give what each gives by itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import direct_embedseg as direct

from im2im_embedseg.centers import center_of
from im2im_embedseg.measuring import measure


def one_by_one(labels: np.ndarray, method: Any, anisotropy: float) -> list[tuple[int, int, list[int], list[float]]]:
    rows = []
    for number in np.unique(labels[labels > 0]):
        pixels = np.argwhere(labels == number)
        center = center_of(pixels, method, anisotropy)
        rows.append((int(number), len(pixels), np.ptp(pixels, axis=0) + 1, center))
    return rows


def agree(labels: np.ndarray, method: Any, anisotropy: float = 1.0, **options: Any) -> None:
    counted = labels if not options else np.where(options["costmap"] > 0, labels, 0)
    found, expected = measure(labels, method, anisotropy, **options), one_by_one(counted, method, anisotropy)
    assert found.center.shape == (len(expected), labels.ndim)
    for row, (number, size, length, center) in enumerate(expected):
        assert (found.label[row], found.size[row]) == (number, size)
        np.testing.assert_array_equal(found.length[row], length)
        np.testing.assert_array_equal(found.center[row], center)


@pytest.mark.parametrize("method", ["centroid", "approximate-medoid"])
@pytest.mark.parametrize(("shape", "anisotropy"), [((70, 90), 3.0), ((9, 40, 44), 1.0), ((9, 40, 44), 3.3)])
def test_blobs_and_noise(shape: tuple[int, ...], anisotropy: float, method: Any) -> None:
    rng = np.random.default_rng(0)
    blobs = direct.blobs(shape, (2, 4, 5)[-len(shape) :], rng)
    blobs[blobs == 3] = 0
    agree(blobs, method, anisotropy)
    agree(blobs.T, method, anisotropy)
    agree(rng.integers(0, 50, shape).astype(np.uint16), method, anisotropy)
    agree(blobs, method, anisotropy, costmap=rng.random(shape) > 0.4)


@pytest.mark.parametrize("method", ["centroid", "approximate-medoid"])
def test_odd_numbers(method: Any) -> None:
    labels = direct.blobs((30, 40), (2, 3), np.random.default_rng(1)).astype(np.int64)
    agree(labels * 10**12, method)
    agree(np.where(labels == 2, -5, labels), method)
    agree(np.where(labels == 2, -5, labels * 10**9), method)
    agree(np.where(labels == 2, -(2**40) + 1, labels), method)
    agree(labels > 0, method)
    agree(labels * 0, method)
    agree(np.zeros((0, 5), np.int32), method)
    agree((labels.astype(np.uint64) << np.uint64(60)) // np.uint64(3), method)


def test_fractions_are_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        measure(np.ones((3, 3), np.float32), "centroid")
