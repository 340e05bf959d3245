"""Channels and time points of a file."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from im2im_core import DataError, Image
from im2im_core.selection import Part, select_channels, select_time, time_points

DATA = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
NAMES = ("DAPI", "GFP", "1")


@pytest.fixture(params=["numpy", "dask"])
def movie(request: pytest.FixtureRequest) -> Image:
    data: Any = DATA if request.param == "numpy" else da.from_array(DATA, chunks=(1, 1, 4, 5))
    return Image(data, "TCYX", {"Y": 0.5, "X": 0.5}, NAMES)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [((), [0, 1, 2]), (("GFP",), [1]), (("gfp", "DAPI"), [1, 0]), (("0", "2"), [0, 2]), (("1",), [2])],
)
def test_channels_by_name_and_number(movie: Image, wanted: tuple[str, ...], numbers: list[int]) -> None:
    """A name goes before a number: channel '1' of this image is its third."""
    chosen = select_channels(movie, wanted)
    np.testing.assert_array_equal(chosen.compute(), DATA[:, numbers])
    assert chosen.channel_names == tuple(NAMES[number] for number in numbers)
    assert (chosen.axes, chosen.pixel_size) == ("TCYX", {"Y": 0.5, "X": 0.5})
    assert type(chosen.data) is type(movie.data), "nothing was decoded"


@pytest.mark.parametrize("channel", ["RFP", "3", "-1", ""])
def test_missing_channel_lists_those_there_are(movie: Image, channel: str) -> None:
    with pytest.raises(DataError, match=f"no channel '{channel}'") as caught:
        select_channels(movie, [channel])
    assert "0 'DAPI', 1 'GFP', 2 '1'" in caught.value.hint


def test_an_image_without_channels_has_one() -> None:
    plain = Image(DATA[0, 0], "YX")
    assert select_channels(plain, ["0"]) is plain
    with pytest.raises(DataError, match="no channel '1'") as caught:
        select_channels(plain, ["1"])
    assert caught.value.hint == "channels are 0 to 0"


def test_time_points(movie: Image) -> None:
    frames = list(time_points(movie))
    assert [frame.axes for frame in frames] == ["CYX", "CYX"]
    for time, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.compute(), DATA[time])
        assert frame.channel_names == NAMES
    plain = frames[0]
    assert select_time(plain, 0) is plain
    assert [frame is plain for frame in time_points(plain)] == [True]
    with pytest.raises(DataError, match="no time point '2'") as caught:
        select_time(movie, 2)
    assert caught.value.hint == "time points are 0 to 1"


def test_a_part_is_channels_and_time(movie: Image) -> None:
    part = Part(time=1, channels=("GFP",)).of(movie)
    assert part.axes == "CYX"
    np.testing.assert_array_equal(part.compute(), DATA[1, [1]])
    assert Part().of(movie) is movie
