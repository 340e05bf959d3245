from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Picture

from im2im_core.image import Image

Read = Callable[..., Image]
Pixels = Callable[..., np.ndarray]


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
@pytest.mark.parametrize("colour", [False, True])
def test_pictures_without_loss(tmp_path: Path, read: Read, pixels: Pixels, suffix: str, colour: bool) -> None:
    data = pixels(30, 40, 3, dtype="uint8") if colour else pixels(30, 40, dtype="uint8")
    Picture.fromarray(data).save(tmp_path / f"a{suffix}")
    image = read("image", tmp_path / f"a{suffix}")
    assert image.axes == ("CYX" if colour else "YX")
    assert np.array_equal(image.compute(), data.transpose(2, 0, 1) if colour else data)
    assert image.data[..., 5:10, 7:9].compute().shape[-2:] == (5, 2)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(tmp_path: Path, read: Read, mode: str) -> None:
    Picture.new("RGB", (40, 30), (200, 200, 200)).convert(mode).save(tmp_path / "a.jpg", quality=95)
    image = read("image", tmp_path / "a.jpg")
    assert image.sizes == ({"Y": 30, "X": 40} if mode == "L" else {"C": 3, "Y": 30, "X": 40})
    assert np.abs(image.compute().astype(int) - 200).max() < 5


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    grey = pixels(30, 40)
    Picture.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(read("image", tmp_path / "grey.png").compute(), grey)
    for samples in (2, 3, 4):
        data = pixels(30, 40, samples)
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
        image = read("image", tmp_path / "a.png")
        assert image.dtype == np.uint16
        expected = data[..., 0] if samples == 2 else data[..., :3].transpose(2, 0, 1)
        assert np.array_equal(image.compute(), expected)


def test_alpha_is_no_channel(tmp_path: Path, read: Read, pixels: Pixels) -> None:
    data = pixels(30, 40, 4, dtype="uint8")
    Picture.fromarray(data).save(tmp_path / "a.png")
    assert np.array_equal(read("image", tmp_path / "a.png").compute(), data[..., :3].transpose(2, 0, 1))


def test_palette_is_colours_or_indices(tmp_path: Path, read: Read) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    picture = Picture.fromarray(labels, "L").convert("P")
    picture.putpalette([value for index in range(256) for value in (255 - index, index, 7)])
    picture.putdata(labels.ravel().tolist())
    picture.save(tmp_path / "a.png")
    colours = read("image", tmp_path / "a.png").compute()
    assert np.array_equal(colours, np.stack([255 - labels, labels, np.full_like(labels, 7)]))
    assert np.array_equal(read("image", tmp_path / "a.png", palette="indices").compute(), labels)


def test_black_and_white(tmp_path: Path, read: Read) -> None:
    mask = np.eye(20, dtype=bool)
    Picture.fromarray(mask).save(tmp_path / "a.png")
    assert np.array_equal(read("image", tmp_path / "a.png").compute(), mask.astype(np.uint8) * 255)
