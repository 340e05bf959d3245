"""The data set `instances`: crops around each object, cut once and kept, or patches on the fly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Flipd, Zoomd
from tifffile import imread, imwrite

sys.path.insert(0, str(Path(__file__).parent))
import direct_embedseg as direct

from im2im_core import ConfigError, DataError, Image
from im2im_core.data.config import FolderConfig
from im2im_core.data.pairs import split_subjects
from im2im_core.data.patches import Visit
from im2im_core.data.survey import survey_paired
from im2im_embedseg.centers import center_image
from im2im_embedseg.crop_index import cached_crops, read_index
from im2im_embedseg.crop_making import list_objects, make_crops, padded
from im2im_embedseg.dataset_config import InstancesConfig
from im2im_embedseg.dataset_declaration import INSTANCES
from im2im_embedseg.instance_data import InstancesDataModule
from im2im_embedseg.instance_patches import Rounds, one_mark_each

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "nuclei2d" / "train"
METHODS = ("centroid", "approximate-medoid", "medoid")


def load(path: Path) -> Image:
    pixels = imread(path)
    return Image(pixels, {2: "YX", 3: "ZYX"}[pixels.ndim] if "rgb" not in path.name else "CYX")


def same(sample: dict[str, Any]) -> dict[str, Any]:
    return sample


def write_data(folder: Path, shape: tuple[int, ...] = (96, 110), images: int = 3, costmaps: bool = False) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(images):
        labels = direct.blobs(shape, (2, 3, 3)[-len(shape) :], rng).astype(np.uint16)
        imwrite(folder / f"{index}_GT.tiff", labels)
        imwrite(folder / f"{index}_IM.tiff", ((labels > 0) * 90 + rng.integers(0, 60, shape)).astype(np.uint8))
        if costmaps:
            imwrite(folder / f"{index}_CM.tiff", (rng.random(shape) < 0.9).astype(np.uint8))
    return folder


def module(data: Path | str, cache: Path | None = None, *, dims: int = 2, **settings: Any) -> InstancesDataModule:
    own = {key: settings.pop(key) for key in ("augmentation", "load", "fingerprint", "seed") if key in settings}
    chosen = {"mode": "instance-crops", "patch_size": 32, "prepare_workers": 0, **settings}
    config = InstancesConfig(path=str(data), **chosen)
    given = {"load": load, "augmentation": same, "fingerprint": "f", "seed": 3, **own}
    return InstancesDataModule(config, preprocessing=same, spatial_dims=dims, cache_dir=cache, **given)


def batches(data: InstancesDataModule, epochs: int = 1, first: int = 0) -> list[dict[str, torch.Tensor]]:
    loader = data.train_dataloader()
    found = []
    for epoch in range(first, first + epochs):
        loader.sampler.set_epoch(epoch)
        found += list(loader)
    data.teardown()
    return found


def assert_same_batches(first: list[dict[str, torch.Tensor]], second: list[dict[str, torch.Tensor]]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=0, atol=0)


def stamps(folder: Path) -> dict[str, int]:
    """When each shard was finished; one still being written has a name that begins with a dot."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.safetensors")}


# Objects and crops


@pytest.mark.parametrize("method", METHODS)
def test_centres_of_a_listed_image_are_golden(method: Any) -> None:
    for name, key, anisotropy in (
        ("center_image_2d", "center_{}", 1),
        ("center_image_3d", "center_{}_a1_s1", 1),
        ("center_image_3d", "center_{}_a2_s1", 2),
    ):
        arrays, _ = direct.golden(name)
        objects = list_objects(arrays["labels"], method, anisotropy)
        marks = np.zeros(arrays["labels"].shape, np.uint8)
        marks[tuple(objects.center.T)] = 1
        np.testing.assert_array_equal(marks, arrays[key.format(method.replace("-", "_"))])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("shape", "channels", "size"),
    [((70, 90), 3, (32, 24)), ((12, 40, 44), 1, (8, 16, 20)), ((30, 90), 2, (32, 24))],
)
def test_crops_are_those_of_a_loop_with_a_full_pass_per_object(
    shape: tuple[int, ...], channels: int, size: tuple[int, ...], method: Any
) -> None:
    rng = np.random.default_rng(1)
    labels = direct.blobs(shape, (2, 3, 3)[-len(shape) :], rng).astype(np.int32)
    labels[labels == 2] = 3_000_000
    sample = {"image": rng.random((channels, *shape)).astype(np.float32), "target": labels[None]}
    sample["costmap"] = (rng.random((1, *shape)) < 0.9).astype(np.float32)
    sample = padded(sample, size)
    labels, counted = sample["target"][0], sample["target"][0] * (sample["costmap"][0] > 0)
    objects = list_objects(labels, method, costmap=sample["costmap"][0])
    crops = make_crops(sample, objects, slice(0, len(objects)), size)
    marks = center_image(counted, method)
    numbers = np.unique(counted)[1:]
    assert crops["label"].tolist() == numbers.tolist() and 3_000_000 in numbers
    for index, number in enumerate(numbers):
        own = center_image(np.where(counted == number, 1, 0), method)
        (center,) = np.argwhere(own)
        start = [min(max(0, c - n // 2), s - n) for c, n, s in zip(center, size, labels.shape, strict=True)]
        region = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        np.testing.assert_array_equal(crops["image"][index], sample["image"][(slice(None), *region)])
        np.testing.assert_array_equal(crops["costmap"][index], sample["costmap"][(slice(None), *region)])
        np.testing.assert_array_equal(crops["labels"][index], labels[region])
        np.testing.assert_array_equal(crops["centers"][index], marks[region])
        np.testing.assert_array_equal(crops["classes"][index], labels[region] > 0)
        assert objects.size[index] == (counted == number).sum()


def test_an_object_that_does_not_count_has_no_crop() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:6, 2:6], labels[10:14, 10:14] = 5, 9
    assert list_objects(labels, "centroid", costmap=labels != 5).label.tolist() == [9]
    assert list_objects(np.zeros((20, 20), np.int32), "medoid").center.shape == (0, 2)


# Which object a visit is to


def test_every_object_is_visited_equally_often() -> None:
    rounds = Rounds([5, 0, 20], 0, "objects", seed=0)
    assert rounds.visits == 25
    visits = [rounds.find(Visit(0, number)) for number in range(25)]
    assert sorted(visits) == [(0, n) for n in range(5)] + [(2, n) for n in range(20)]
    fewer = Rounds([5, 0, 20], 2, "objects", seed=0)
    assert fewer.visits == 6
    counts = Counter(fewer.find(Visit(epoch, number)) for epoch in range(25) for number in range(6))
    assert len(counts) == 25 and set(counts.values()) == {6}


def test_every_image_is_visited_equally_often() -> None:
    rounds = Rounds([5, 20], 4, "images", seed=0)
    counts = Counter(rounds.find(Visit(epoch, number)) for epoch in range(10) for number in range(8))
    assert Counter(image for image, _ in counts.elements()) == {0: 40, 1: 40}
    assert {counts[0, n] for n in range(5)} == {8} and {counts[1, n] for n in range(20)} == {2}


def test_rounds_depend_on_the_seed_and_on_no_state() -> None:
    visits = [Visit(epoch, number) for epoch in range(3) for number in range(10)]
    rounds = Rounds([30], 10, "images", seed=1)
    forward = [rounds.find(visit) for visit in visits]
    assert [rounds.find(visit) for visit in reversed(visits)] == forward[::-1]
    assert [Rounds([30], 10, "images", seed=2).find(visit) for visit in visits] != forward


# Batches


@pytest.mark.parametrize("mode", ["instance-crops", "on-the-fly"])
@pytest.mark.parametrize("weighting", ["objects", "images"])
def test_batches_do_not_depend_on_workers_and_resume_exactly(tmp_path: Path, mode: Any, weighting: Any) -> None:
    data = write_data(tmp_path / "data", costmaps=True)
    options = {"mode": mode, "weighting": weighting, "patches_per_image": 5, "batch_size": 3}
    plain = batches(module(data, tmp_path / "a", **options), epochs=2)
    workers = batches(module(data, tmp_path / "b", num_workers=2, prepare_workers=2, **options), epochs=2)
    assert_same_batches(plain, workers)
    assert_same_batches(plain[len(plain) // 2 :], batches(module(data, tmp_path / "a", **options), first=1))
    first, second = plain[: len(plain) // 2], plain[len(plain) // 2 :]
    assert not torch.equal(first[0]["image"], second[0]["image"])
    assert set(plain[0]) == {"image", "target", "costmap", "center_image"}
    assert plain[0]["image"].shape == (3, 1, 32, 32) and plain[0]["target"].dtype == torch.int32
    assert all((batch["target"] > 0).any() for batch in plain)


def test_split_and_validation_are_those_of_pairs(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", images=4)
    train, val = split_subjects(FolderConfig(path=str(data), val_fraction=0.5), seed=3)
    for mode in ("instance-crops", "on-the-fly"):
        made = module(data, tmp_path / "cache", mode=mode, val_fraction=0.5, val_max_size=80)
        assert (made.train_subjects, made.val_subjects) == (train, val)
        whole = list(made.val_dataloader())
        assert [batch["image"].shape for batch in whole] == [(1, 1, 80, 80)] * 2
        for subject, batch in zip(val, whole, strict=True):
            np.testing.assert_array_equal(batch["target"][0, 0], imread(subject.target)[8:88, 15:95])
            np.testing.assert_array_equal(batch["image"][0, 0], imread(subject.image)[8:88, 15:95])


def test_patches_on_the_fly_lie_around_objects(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", shape=(150, 160), images=2)
    options = {"mode": "on-the-fly", "patch_size": 17, "val_fraction": 0.0}
    centred = batches(module(data, tmp_path, object_fraction=1.0, jitter=0.0, **options))
    assert len(centred) == 2 and all(batch["center_image"][:, 0, 8, 8].all() for batch in centred)
    moved = torch.cat(
        [b["center_image"] for b in batches(module(data, tmp_path, object_fraction=1.0, jitter=1.0, **options), 9)]
    )
    assert moved.flatten(1).any(1).all() and not moved[:, 0, 8, 8].all()
    anywhere = torch.cat([b["target"] for b in batches(module(data, tmp_path, object_fraction=0.0, **options), 9)])
    assert not (anywhere.flatten(1) > 0).any(1).all()


def test_small_images_are_padded_and_marks_move_with_their_objects(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", shape=(20, 50), images=2)
    for mode in ("instance-crops", "on-the-fly"):
        options = {"mode": mode, "patch_size": 32, "val_fraction": 0.0, "center": "medoid", "object_fraction": 1.0}
        for batch in batches(module(data, tmp_path / "cache", **options)):
            assert batch["image"].shape[2:] == (32, 32) and not batch["costmap"][:, :, 0].any()
            assert (batch["target"][batch["center_image"] > 0] > 0).all() and batch["center_image"].any()


def test_augmentation_moves_the_centre_image_with_the_objects(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    keys = ["image", "target", "costmap"]
    flip = Flipd(keys, spatial_axis=-1, allow_missing_keys=True)
    options = {"center": "medoid", "patches_per_image": 4}
    plain = batches(module(data, tmp_path / "cache", **options))
    flipped = batches(module(data, tmp_path / "cache", augmentation=flip, **options))
    for one, other in zip(plain, flipped, strict=True):
        assert one["center_image"].any()
        for key in one:
            torch.testing.assert_close(other[key], one[key].flip(-1))


def test_an_enlarged_patch_has_one_mark_in_each_object(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    zoom = Zoomd(["image", "target"], 2.0, mode=["area", "nearest"])
    options = {"center": "medoid", "patches_per_image": 4}
    for batch in batches(module(data, tmp_path / "cache", augmentation=zoom, **options)):
        for target, marks in zip(batch["target"], batch["center_image"], strict=True):
            numbers = target[marks > 0]
            assert len(numbers) == len(numbers.unique()) > 0
    target = torch.tensor([[[1, 1, 0, 2]]])
    assert one_mark_each(target, torch.tensor([[[1, 1, 1, 0]]])).tolist() == [[[1, 0, 0, 0]]]


def test_three_dimensions_with_a_cost_map(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", shape=(12, 40, 44), costmaps=True)
    for mode in ("instance-crops", "on-the-fly"):
        made = module(data, tmp_path / "cache", dims=3, mode=mode, patch_size=(8, 16, 20), patches_per_image=2)
        batch = batches(made)[0]
        assert {key: value.shape[1:] for key, value in batch.items()} == dict.fromkeys(batch, (1, 8, 16, 20))
        assert len(batch) == 4 and batch["center_image"].any() and not batch["costmap"].all()


# The cache


def test_a_second_start_makes_nothing_anew_and_stale_crops_are_not_used(tmp_path: Path) -> None:
    data, cache = write_data(tmp_path / "data", images=4), tmp_path / "cache"
    first = module(data, cache)
    before = batches(first)
    assert all(shard.made for shard in first.crops.train) and len(first.crops.train) == 3
    written = stamps(cache)
    again = module(data, cache)
    assert_same_batches(batches(again), before)
    assert not any(shard.made for shard in (*again.crops.train, *again.crops.val)) and stamps(cache) == written
    # other contents under the same name, size and time
    file = first.train_subjects[1].image
    status, pixels = file.stat(), imread(file)
    imwrite(file, pixels[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    changed = module(data, cache)
    changed.setup()
    assert [shard.made for shard in changed.crops.train] == [False, True, False]
    assert stamps(cache).items() > written.items()
    for other in ({"patch_size": 24}, {"center": "medoid"}, {"fingerprint": "g"}):
        different = module(data, cache, **other)
        different.setup()
        assert all(shard.made for shard in different.crops.train), other


def test_a_moved_data_set_finds_its_crops(tmp_path: Path) -> None:
    data, cache = write_data(tmp_path / "data"), tmp_path / "cache"
    module(data, cache).setup()
    moved = module(data.rename(tmp_path / "elsewhere"), cache)
    moved.setup()
    assert not any(shard.made for shard in moved.crops.train)


def test_a_file_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    data, cache = write_data(tmp_path / "data"), tmp_path / "cache"
    made = module(data, cache)
    before = batches(made)
    shard = made.crops.train[0]
    file = cache / shard.files[0]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        batches(module(cache, cache))
    again = module(data, cache)
    assert_same_batches(batches(again), before)
    assert [s.made for s in again.crops.train] == [True, False]


def test_many_crops_lie_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_data(tmp_path / "data")
    whole = batches(module(data, tmp_path / "one"))
    monkeypatch.setattr("im2im_embedseg.crop_cache.MOST_BYTES", 4 * 32 * 32 * 10)
    cut = module(data, tmp_path / "several")
    assert_same_batches(batches(cut), whole)
    assert cut.crops.train[0].crops == (4, 4, 1)
    (tmp_path / "several" / cut.crops.train[0].files[1]).unlink()
    written = stamps(tmp_path / "several")
    assert_same_batches(batches(module(data, tmp_path / "several")), whole)
    assert stamps(tmp_path / "several").items() > written.items()


def test_the_cache_alone_can_be_trained_from(tmp_path: Path) -> None:
    data, cache = write_data(tmp_path / "data", images=4, costmaps=True), tmp_path / "cache"
    before = module(data, cache, center="medoid")
    expected, val = batches(before), list(before.val_dataloader())
    survey = survey_paired(FolderConfig(path=str(data)), load, images=True)
    shutil.rmtree(data)
    shutil.copytree(cache, tmp_path / "copy")
    shutil.rmtree(cache)
    alone = module(tmp_path / "copy", patch_size=None)
    assert_same_batches(batches(alone), expected)
    assert_same_batches(list(alone.val_dataloader()), val)
    assert alone.patch_size == (32, 32) and alone.facts == before.facts
    config = InstancesConfig(path=str(tmp_path / "copy"), mode="instance-crops")
    assert INSTANCES.inspect(config, load) == before.facts
    told = INSTANCES.survey(config, load)
    assert told.shapes == survey.shapes and sum(told.object_sizes) <= sum(survey.object_sizes)
    assert len(told.object_sizes) == 36 and 0 < told.foreground < survey.foreground  # by the cost map


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "on-the-fly"}, "dataset.mode"),
        ({"patch_size": 48}, r"dataset.patch_size: '\(48, 48\)', but .* '\(32, 32\)'"),
        ({"center": "medoid"}, "dataset.center: 'medoid', but .* 'centroid'"),
        ({"anisotropy": 2.0}, "dataset.anisotropy"),
        ({"fingerprint": "other"}, "another preprocessing"),
    ],
)
def test_a_cache_of_another_kind_is_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    cache = tmp_path / "cache"
    module(write_data(tmp_path / "data"), cache).setup()
    with pytest.raises(ConfigError, match=words):
        module(cache, **settings)


def test_a_damaged_index_is_told(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    module(write_data(tmp_path / "data"), cache).setup()
    index = read_index(cache)
    (cache / index.train[0].files[0]).unlink()
    config = InstancesConfig(path=str(cache), mode="instance-crops")
    with pytest.raises(DataError, match=r"1 files that .* are missing"):
        cached_crops(config)
    content = json.loads((cache / "index.json").read_text())
    for damaged in ({**content, "version": 2}, {**content, "train": [{}]}, {**content, "facts": {"pairs": 1}}):
        (cache / "index.json").write_text(json.dumps(damaged))
        with pytest.raises(DataError, match=r"index.json"):
            cached_crops(config)
    (cache / "index.json").write_text("[]")
    assert cached_crops(config) is None


def test_bad_targets_are_told(tmp_path: Path) -> None:
    data = write_data(tmp_path / "empty")
    for file in data.glob("*_GT.tiff"):
        imwrite(file, np.zeros((96, 110), np.uint16))
    for mode in ("instance-crops", "on-the-fly"):
        for weighting in ("objects", "images"):
            with pytest.raises(DataError, match="none of the 2 training targets holds an object"):
                module(data, tmp_path / "cache", mode=mode, weighting=weighting).setup()
    fractions = write_data(tmp_path / "fractions")
    imwrite(fractions / "0_GT.tiff", np.full((96, 110), 0.5, np.float32))
    with pytest.raises(DataError, match=r"'.*0_GT.tiff' is no label image: 1 channel.s. of float32"):
        module(fractions, tmp_path / "cache", prepare_workers=2).setup()


def test_crops_smaller_than_the_objects_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module(write_data(tmp_path / "data"), tmp_path / "cache", patch_size=8).setup()
    assert "18 of 18 objects are longer than a crop of 8x8 pixels" in caplog.text


SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_instances_data as test

def slow(path):
    time.sleep(0.25)
    return test.load(path)

if __name__ == "__main__":
    test.module({data!r}, Path({cache!r}), load=slow, prepare_workers=2).setup()
"""


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 240  # on a machine busy with other things
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_kill_keeps_what_is_complete_and_a_second_start_goes_on(tmp_path: Path) -> None:
    data, cache = write_data(tmp_path / "data", images=12), tmp_path / "cache"
    whole = module(data, tmp_path / "undisturbed")
    expected = batches(whole)
    code = SLOW.format(tests=str(Path(__file__).parent), data=str(data), cache=str(cache))
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        until(lambda: len(stamps(cache)) >= 3 or process.poll() is not None)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = stamps(cache)
    assert 3 <= len(kept) < 12 and not (cache / "index.json").exists()
    again = module(data, cache, prepare_workers=2)
    assert_same_batches(batches(again), expected)
    after = stamps(cache)
    assert {name: after[name] for name in kept} == kept and len(after) == 12
    made = [shard.made for shard in (*again.crops.train, *again.crops.val)]
    assert made.count(False) == len(kept)
    for name in after:
        assert (cache / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


# From the command line


def run(*arguments: str) -> None:
    from im2im_core.cli import app

    app(["train", "--model", "embedseg", *arguments], standalone_mode=False)


def test_training_with_instance_crops_and_then_from_the_cache_alone(tmp_path: Path) -> None:
    data, cache = write_data(tmp_path / "data"), tmp_path / "cache"
    common = ["dataset.name=instances", "dataset.mode=instance-crops", "dataset.batch_size=4", "trainer.max_epochs=1"]
    common += ["network.channels=[8,16]"]
    sets = [part for setting in common for part in ("--set", setting)]
    made = ["--set", f"dataset.cache_dir={cache}", "--set", "dataset.patch_size=32"]
    run("--data", str(data), *sets, *made, "--out", str(tmp_path / "first"))
    data.rename(tmp_path / "away")
    run("--data", str(cache), *sets, "--out", str(tmp_path / "second"))
    tables = [next(tmp_path.glob(f"{name}/*/metrics.csv")).read_text() for name in ("first", "second")]
    assert "val_loss" in tables[0]
    first, second = (_figures(table) for table in tables)
    assert first == second
    assert len(list(tmp_path.glob("*/*/bundle/bundle.json"))) == 2


def _figures(table: str) -> list[str]:
    names, *rows = (line.split(",") for line in table.splitlines())
    return [cell for row in rows for name, cell in zip(names, row, strict=True) if "loss" in name]


@pytest.mark.parametrize("mode", ["instance-crops", "on-the-fly"])
def test_real_nuclei(tmp_path: Path, mode: Any) -> None:
    if not REAL.is_dir():
        pytest.skip("the shared images are not part of the repository")
    data = tmp_path / "data"
    data.mkdir()
    for file in sorted(REAL.glob("*_GT.*"))[:3]:
        image = next(REAL.glob(file.name.replace("_GT", "_IM").rsplit(".", 1)[0] + ".*"))
        shutil.copy(file, data)
        shutil.copy(image, data)
    made = module(data, tmp_path / "cache", mode=mode, patch_size=64, center="approximate-medoid", prepare_workers=2)
    found = batches(made)
    assert all((batch["target"] > 0).flatten(1).any(1).all() for batch in found if mode == "instance-crops")
    if mode == "instance-crops":
        numbers = sum(len(np.unique(imread(subject.target))) - 1 for subject in made.train_subjects)
        assert sum(len(batch["image"]) for batch in found) == numbers
