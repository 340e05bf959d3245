from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from im2im_core.image import Image

Read = Callable[..., Image]
Pixels = Callable[..., np.ndarray]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((20, 30), "YX"), ((3, 20, 30), "CYX"), ((9, 20, 30), "ZYX"), ((2, 9, 20, 30), "CZYX"), ((9, 2, 20, 30), "ZCYX")],
)
def test_axes_follow_from_the_shape(
    tmp_path: Path, read: Read, pixels: Pixels, shape: tuple[int, ...], axes: str
) -> None:
    data = pixels(*shape)
    np.save(tmp_path / "a.npy", data)
    image = read("numpy", tmp_path / "a.npy")
    assert image.axes == axes
    assert isinstance(image.data, np.memmap)
    assert np.array_equal(image.compute(), data)


def test_last_axis_of_colours_comes_first(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    data = pixels(20, 30, 3)
    np.save(tmp_path / "a.npy", data)
    image = read("numpy", tmp_path / "a.npy")
    assert image.axes == "CYX"
    assert np.array_equal(image.compute(), data.transpose(2, 0, 1))


def test_stated_axes(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    np.save(tmp_path / "a.npy", pixels(9, 20, 30))
    assert read("numpy", tmp_path / "a.npy", axes="CYX").axes == "CYX"
