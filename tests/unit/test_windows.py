"""The sweep of windows: the same as MONAI's sliding window, with each window computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from im2im_core import windows
from im2im_core.windows import WindowOptions, gathered, sweep, touching, window_starts


@pytest.mark.parametrize(
    ("length", "window", "overlap"), [(100, 16, 0.25), (16, 16, 0.5), (17, 16, 0.0), (257, 32, 0.9)]
)
def test_windows_cover_an_axis(length: int, window: int, overlap: float) -> None:
    starts = window_starts(length, window, overlap)
    covered = np.zeros(length, int)
    for start in starts:
        assert 0 <= start <= length - window
        covered[start : start + window] += 1
    assert (covered > 0).all()
    assert starts == sorted(set(starts))


def test_windows_that_touch_a_part() -> None:
    assert touching([0, 12, 24, 36], 16, slice(16, 24)) == [12]
    assert touching([0, 12, 24, 36], 16, slice(15, 25)) == [0, 12, 24]


def network(windows: Any) -> Any:
    """Differs from window to window as a network with zero padding does: two channels."""
    weight = torch.linspace(-1, 1, 2 * 9).reshape(2, 1, 3, 3)
    if windows.ndim == 5:
        weight = weight[:, :, None].repeat(1, 1, 3, 1, 1)
        return torch.nn.functional.conv3d(windows, weight, padding=1)
    return torch.nn.functional.conv2d(windows, weight, padding=1)


@pytest.mark.parametrize(
    ("shape", "window", "overlap"),
    [
        ((70, 90), (16, 16), 0.25),
        ((64, 33), (16, 32), 0.5),
        ((16, 40), (16, 16), 0.6),
        ((20, 30, 25), (8, 16, 16), 0.25),
    ],
)
def test_equal_to_the_sliding_window_of_monai(shape: tuple[int, ...], window: tuple[int, ...], overlap: float) -> None:
    image = np.random.default_rng(0).random((1, *shape)).astype(np.float32)
    asked = 0

    def infer(windows: Any) -> Any:
        nonlocal asked
        asked += len(windows)
        return network(torch.from_numpy(windows)).numpy()

    everything = tuple(slice(0, n) for n in shape)
    options = WindowOptions(window=window, overlap=overlap, batch=3)
    found = np.full((2, *shape), np.nan, np.float32)
    for region, piece in sweep(infer, lambda region: image[(slice(None), *region)], shape, options, everything):
        assert np.isnan(found[(slice(None), *region)]).all()
        found[(slice(None), *region)] = piece
    expected = sliding_window_inference(
        torch.from_numpy(image)[None], window, 3, network, overlap=overlap, mode="gaussian"
    )[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    count = np.prod([len(window_starts(n, w, overlap)) for n, w in zip(shape, window, strict=True)])
    assert asked == count


def test_a_part_is_a_cut_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).random((1, 60, 100)).astype(np.float32)
    asked: list[Any] = []

    def read(region: Any) -> Any:
        asked.append(region)
        return image[(slice(None), *region)]

    def part(*wanted: slice) -> Any:
        found = np.full((2, 60, 100), np.nan, np.float32)
        options = WindowOptions(window=(16, 16), batch=1)
        for region, piece in sweep(lambda w: network(torch.from_numpy(w)).numpy(), read, (60, 100), options, wanted):
            found[(slice(None), *region)] = piece
        return found

    whole = part(slice(0, 60), slice(0, 100))
    assert {(region[1].start, region[1].stop) for region in asked} == {(0, 100)}
    asked.clear()
    monkeypatch.setattr(windows, "READ_PIXELS", 16 * 30)
    found = part(slice(17, 35), slice(30, 51))
    np.testing.assert_allclose(found[:, 17:35, 30:51], whole[:, 17:35, 30:51], atol=1e-6)
    assert np.isfinite(found).sum() == 2 * 18 * 21
    # Windows that do not reach into the part are neither read nor computed, and lines are read apart.
    assert {(region[0].start, region[1].start, region[1].stop) for region in asked} == {
        (row, *line) for row in (12, 24) for line in ((24, 52), (48, 64))
    }


def test_an_error_of_the_reader_comes_through() -> None:
    def read(region: Any) -> Any:
        if region[0].start:
            raise OSError("no more pixels")
        return np.zeros((1, 16, 16), np.float32)

    with pytest.raises(OSError, match="no more pixels"):
        list(sweep(lambda w: w, read, (64, 16), WindowOptions(window=(16, 16)), (slice(0, 64), slice(0, 16))))


def test_pieces_are_gathered_along_y() -> None:
    image = np.random.default_rng(0).random((2, 8, 30, 5)).astype(np.float32)
    regions = [(slice(z, z + 4), slice(y, y + 6), slice(0, 5)) for z in (0, 4) for y in range(0, 30, 6)]
    pieces = [(region, image[(slice(None), *region)]) for region in regions]
    size = pieces[0][1].nbytes
    found = list(gathered(pieces, 2 * size))
    assert [(region[0].start, region[1].start, region[1].stop) for region, _ in found] == [
        (z, *lines) for z in (0, 4) for lines in ((0, 12), (12, 24), (24, 30))
    ]
    for region, piece in found:
        np.testing.assert_array_equal(piece, image[(slice(None), *region)])
    assert len(list(gathered(pieces, size - 1))) == len(pieces)
    flat = [((slice(y, y + 6), slice(0, 5)), image[:, 0, y : y + 6]) for y in range(0, 30, 6)]
    assert len(list(gathered(flat, 2**30))) == 5
