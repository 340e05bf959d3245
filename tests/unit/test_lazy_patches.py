"""Patches read from files: those of the whole preprocessed image, without anybody reading the whole image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parent))
from test_dataset import epoch, make, make_data, nothing, same

from im2im_core.build import Compose
from im2im_core.builtin.dataset_config import PairedConfig
from im2im_core.builtin.transform_config import NormalizePercentileConfig
from im2im_core.builtin.transforms import build_percentile
from im2im_core.data import survey
from im2im_core.data.survey import survey_paired
from im2im_core.errors import DataError
from im2im_core.image import Image


class Counting:
    """An array that counts the pixels that are read."""

    def __init__(self, data: Any, counts: list[int]) -> None:
        self.data, self.counts = data, counts
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim

    def __getitem__(self, key: Any) -> Any:
        found = self.data[key]
        return Counting(found, self.counts)

    def transpose(self, axes: Any) -> Counting:
        return Counting(self.data.transpose(axes), self.counts)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.counts.append(self.data.size)
        return np.array(self.data, dtype)


class CountingLoader:
    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, path: Path) -> Image:
        data = np.load(path)
        return Image(Counting(data, self.counts), {2: "YX", 3: "ZYX"}[data.ndim], {"Y": 0.5, "X": 0.5})


def normalized() -> Compose:
    return Compose([build_percentile(NormalizePercentileConfig())])


@pytest.mark.parametrize("shape", [(40, 48), (9, 40, 48)])
def test_patches_are_those_of_the_whole_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Every patch is found again in the preprocessed image that other caches hold, target and cost map with it."""
    folder = make_data(tmp_path / "data", shape=shape, costmaps=range(5))
    size = (16,) * 2 if len(shape) == 2 else (4, 16, 16)
    load = CountingLoader()
    lazy = make(folder, load, None, preprocessing=normalized(), cache="lazy", patch_size=size, batch_size=1)
    whole = make(folder, load, None, preprocessing=normalized(), cache="memory", patch_size=None, batch_size=1)
    # An image has no two patches alike.
    images = epoch(whole)
    patches = epoch(lazy)
    assert len(patches) == 3 * len(images)
    places = set()
    for patch in patches:
        corner = patch["image"][0, 0][(0,) * len(size)]
        hits = []
        for number, image in enumerate(images):
            for at in (image["image"][0, 0] == corner).nonzero().tolist():
                region = tuple(slice(a, a + n) for a, n in zip(at, size, strict=True))
                if image["image"][0, 0][region].shape == size and torch.equal(
                    image["image"][0, 0][region], patch["image"][0, 0]
                ):
                    hits.append((number, region))
        ((number, region),) = hits
        places.add((number, *(part.start for part in region)))
        for key in ("target", "costmap"):
            assert torch.equal(images[number][key][0, 0][region], patch[key][0, 0])
            assert images[number][key].dtype == patch[key].dtype
    assert len(places) > len(images)


def test_an_epoch_depends_on_seed_and_number_only(tmp_path: Path) -> None:
    folder = make_data(tmp_path / "data")
    one, two = (make(folder, CountingLoader(), None, cache="lazy", num_workers=n) for n in (0, 2))
    first = epoch(one, 3)
    assert same(first, epoch(two, 3))
    assert not same(first, epoch(one, 4))
    two.teardown()


def test_no_image_is_read_whole(tmp_path: Path) -> None:
    folder = make_data(tmp_path / "data", shape=(400, 480))
    load = CountingLoader()
    data = make(folder, load, None, cache="lazy", val_max_size=32, task="instance-segmentation")
    data.setup()
    load.counts.clear()
    epoch(data)
    assert max(load.counts) <= (16 + 2 * 64) ** 2
    ((batch),) = list(data.val_dataloader())
    assert batch["image"].shape == (1, 1, 32, 32)
    stem = data.val_subjects[0].image
    np.testing.assert_array_equal(batch["image"][0, 0], np.load(stem)[184:216, 224:256])


def test_foreground(tmp_path: Path) -> None:
    """Objects cover 2 % of the image: anywhere most patches miss them, and with foreground sampling few do."""
    folder = make_data(tmp_path / "data", shape=(96, 96))

    def share(**settings: Any) -> float:
        data = make(folder, CountingLoader(), None, cache="lazy", patches_per_image=25, batch_size=1, **settings)
        return float(np.mean([bool((batch["target"] > 0).any()) for batch in epoch(data)]))

    assert share() < 0.5
    assert share(sampling="foreground", foreground_fraction=1.0) > share(sampling="foreground", foreground_fraction=0.5)
    assert share(sampling="foreground", foreground_fraction=1.0) > 0.6


def test_small_images_are_continued(tmp_path: Path) -> None:
    folder = make_data(tmp_path / "data", shape=(24, 40))
    batch = epoch(make(folder, CountingLoader(), None, cache="lazy", patch_size=32))[0]
    assert batch["image"].shape[1:] == (1, 32, 32)
    assert not batch["costmap"][:, :, 0].any()
    assert batch["costmap"][:, :, 16].all()


def test_what_it_cannot_do(tmp_path: Path) -> None:
    folder = make_data(tmp_path / "data")
    steps = Compose([build_percentile(NormalizePercentileConfig(keys=("image", "target")))])
    with pytest.raises(DataError, match="changes 'target'") as caught:
        make(folder, CountingLoader(), None, cache="lazy", preprocessing=steps).setup()
    assert "persistent" in caught.value.hint
    with pytest.raises(ValidationError, match="set patch_size"):
        PairedConfig(path="x", cache="lazy")
    empty = make_data(tmp_path / "empty")
    for path in empty.glob("*_GT.npy"):
        np.save(path, np.zeros((40, 48), np.uint16))
    with pytest.raises(DataError, match="none of the 4 training targets"):
        make(empty, CountingLoader(), None, cache="lazy", task="instance-segmentation").setup()


def test_damaged_pixels_are_told_with_the_file(tmp_path: Path) -> None:
    folder = make_data(tmp_path / "data")
    for path in folder.glob("*_IM.npy"):
        np.save(path, np.full((40, 48), np.nan, np.float32))
    with pytest.raises(DataError, match=r"_IM\.npy"):
        epoch(make(folder, CountingLoader(), None, cache="lazy", preprocessing=nothing))


def test_large_images_are_surveyed_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_data(tmp_path / "data", shape=(60, 48))
    config = PairedConfig(path=str(folder))
    load = CountingLoader()
    whole = survey_paired(config, load, images=True)
    assert max(load.counts) == 60 * 48
    load.counts.clear()
    monkeypatch.setattr(survey, "STRIP_PIXELS", 48 * 20)
    strips = survey_paired(config, load, images=True)
    assert max(load.counts) == 20 * 48
    assert strips.class_pixels == whole.class_pixels
    assert strips.foreground == whole.foreground
    np.testing.assert_allclose(strips.image_range, whole.image_range)
