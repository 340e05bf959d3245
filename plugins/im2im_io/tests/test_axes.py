from __future__ import annotations

import numpy as np
import pytest

from im2im_core.errors import DataError
from im2im_io.axes import channels_before_plane, name_axes
from im2im_io.units import micrometres


@pytest.mark.parametrize(
    ("stored", "shape", "axes"),
    [
        ("YX", (64, 64), "YX"),
        ("ZCYX", (5, 2, 64, 64), "ZCYX"),
        ("YXS", (64, 64, 3), "YXC"),
        ("QYX", (64, 65, 3), "YXC"),
        ("QYX", (3, 64, 64), "CYX"),
        ("QYX", (4, 4, 4), "CYX"),
        ("IYX", (30, 64, 64), "ZYX"),
        ("QSYX", (2, 3, 64, 64), "ZCYX"),
        ("QQYX", (30, 2, 64, 64), "ZCYX"),
        ("QQYX", (2, 30, 64, 64), "CZYX"),
        ("QQYX", (10, 30, 64, 64), "TZYX"),
        ("QQQYX", (10, 30, 2, 64, 64), "TZCYX"),
        ("QQQYX", (10, 20, 30, 64, 64), "CTZYX"),
        ("QCYX", (20, 2, 64, 64), "ZCYX"),
    ],
)
def test_unknown_dimensions_follow_the_rule(stored: str, shape: tuple[int, ...], axes: str) -> None:
    assert name_axes(stored, shape, "a.tif") == axes


@pytest.mark.parametrize("stored", ["QQQQYX", "CYXS", "HYX", "CX"])
def test_dimensions_without_a_name_are_an_error_that_names_the_way_out(stored: str) -> None:
    with pytest.raises(DataError, match=r"'a\.tif'") as caught:
        name_axes(stored, (10,) * len(stored), "a.tif")
    assert stored in caught.value.message
    assert "axes=" in caught.value.hint


def test_stated_axes_settle_everything() -> None:
    assert name_axes("QYX", (3, 64, 64), "a.tif", "ZYX") == "ZYX"
    with pytest.raises(DataError, match=r"'ZYX' do not fit 'a\.tif'"):
        name_axes("YX", (64, 64), "a.tif", "ZYX")


def test_interleaved_channels_become_planes() -> None:
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    moved, axes = channels_before_plane(data, "ZYXC")
    assert axes == "ZCYX"
    assert np.array_equal(moved, np.moveaxis(data, -1, 1))
    assert channels_before_plane(data, "CZYX")[0] is data


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.5, "µm", 0.5),
        (0.5, "\u03bcm", 0.5),
        ("0.5", "micron", 0.5),
        (0.5, "\\u00B5m", 0.5),
        (65, "nm", 0.065),
        (1e-7, "m", 0.1),
        (2, "mm", 2000.0),
        (1, "pixel", None),
        (0, "µm", None),
        (float("nan"), "µm", None),
        ("wide", "µm", None),
        (0.5, None, None),
    ],
)
def test_lengths_in_micrometre(value: float | str, unit: str | None, expected: float | None) -> None:
    assert micrometres(value, unit) == (None if expected is None else pytest.approx(expected))
