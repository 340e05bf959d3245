"""The data set of image pairs: caches, patches, determinism, and what it says about unusable data."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from im2im_core.build import Compose
from im2im_core.builtin.dataset import PairedDataModule
from im2im_core.builtin.dataset_config import PairedConfig
from im2im_core.builtin.transform_config import NormalizePercentileConfig
from im2im_core.builtin.transforms import build_percentile, monai_transform
from im2im_core.data.pairs import inspect_paired
from im2im_core.errors import ConfigError, DataError
from im2im_core.image import Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


class Loader:
    """Opens .npy files and notes each one in a log, which also sees what worker processes do."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, path: Path) -> Image:
        with self.log.open("a") as log:
            log.write(f"{path.name}\n")
        data = np.load(path)
        axes = {2: "YX", 3: "CYX", 4: "CZYX"}[data.ndim]
        return Image(data, axes, {"Y": 0.5, "X": 0.5})

    def take(self) -> list[str]:
        names = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return names


@pytest.fixture
def load(tmp_path):
    return Loader(tmp_path / "decoded.log")


def make_data(folder: Path, count: int = 5, shape=(40, 48), costmaps=(), channels: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rng = np.random.default_rng(index)
        full = shape if channels is None else (channels, *shape)
        np.save(folder / f"s{index}_IM.npy", rng.integers(0, 255, full, dtype=np.uint8))
        labels = np.zeros(shape, np.uint16)
        labels[..., 10:20, 12:30] = index + 1
        np.save(folder / f"s{index}_GT.npy", labels)
        if index in costmaps:
            np.save(folder / f"s{index}_CM.npy", (labels == 0).astype(np.uint8))
    return folder


def nothing(sample):
    return sample


def make(
    folder,
    load,
    cache_dir,
    *,
    augmentation=nothing,
    preprocessing=nothing,
    seed=7,
    fingerprint="",
    task=None,
    **settings,
):
    settings = {"patch_size": 16, "patches_per_image": 3, "val_fraction": 0.2, "path": str(folder), **settings}
    config = PairedConfig(**settings)
    facts = inspect_paired(config, load)
    load_log = getattr(load, "take", list)
    load_log()
    data = PairedDataModule(
        config,
        load=load,
        preprocessing=preprocessing,
        augmentation=augmentation,
        spatial_dims=facts.spatial_dims,
        seed=seed,
        cache_dir=cache_dir,
        fingerprint=fingerprint,
        task=task,
    )
    load_log()
    return data


def epoch(data, number: int = 0) -> list[dict[str, torch.Tensor]]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return list(loader)


def same(left, right) -> bool:
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in zip(left, right, strict=True)
    )


FLIPS = Compose(
    [
        monai_transform("RandFlipd", {"prob": 0.5, "spatial_axis": 0}),
        monai_transform("RandGaussianNoised", {"prob": 1.0}),
    ]
)


def test_batches_are_plain_tensors(tmp_path, load):
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c", augmentation=FLIPS)
    batches = epoch(data)
    assert [len(batch["image"]) for batch in batches] == [4, 4, 4]
    for batch in batches:
        assert set(batch) == {"image", "target"}
        assert type(batch["image"]) is torch.Tensor
        assert type(batch["target"]) is torch.Tensor
        assert batch["image"].shape == batch["target"].shape == (4, 1, 16, 16)
        assert batch["image"].dtype == torch.float32
        assert batch["target"].dtype == torch.int32


def test_patches_keep_image_and_target_together(tmp_path, load):
    folder = make_data(tmp_path / "d", costmaps=(0, 1, 2, 3, 4))
    for index in range(5):
        labels = np.load(folder / f"s{index}_GT.npy")
        np.save(folder / f"s{index}_IM.npy", labels.astype(np.uint8) * 3)
    flip = Compose(
        [
            monai_transform("RandFlipd", {"prob": 0.5, "spatial_axis": 1}),
            monai_transform("RandRotate90d", {"prob": 0.5}),
        ]
    )
    batches = epoch(make(folder, load, tmp_path / "c", augmentation=flip, patches_per_image=8))
    assert any((batch["target"] > 0).any() for batch in batches)
    for batch in batches:
        assert torch.equal(batch["image"], batch["target"].float() * 3)
        assert torch.equal(batch["costmap"], (batch["target"] == 0).float())


def test_a_float_target_stays_float(tmp_path, load):
    folder = make_data(tmp_path / "d", 2)
    for index in range(2):
        np.save(folder / f"s{index}_GT.npy", np.full((40, 48), 0.25, np.float64))
    batch = epoch(make(folder, load, tmp_path / "c"))[0]
    assert batch["target"].dtype == torch.float32
    assert (batch["target"] == 0.25).all()


def test_labels_beyond_32_bits_are_kept(tmp_path, load):
    folder = make_data(tmp_path / "d", 2)
    for index in range(2):
        np.save(folder / f"s{index}_GT.npy", np.full((40, 48), 2**31 + 5, np.uint32))
    batch = epoch(make(folder, load, tmp_path / "c"))[0]
    assert (batch["target"] == 2**31 + 5).all()


def test_an_image_without_costmap_counts_everywhere(tmp_path, load):
    data = make(
        make_data(tmp_path / "d", 4, costmaps=(2,)), load, tmp_path / "c", val_fraction=0, patch_size=None, batch_size=1
    )
    costs = {int(batch["target"].max()): batch["costmap"] for batch in epoch(data)}
    assert (costs[1] == 1).all()
    assert (costs[3] == 0).any()


@pytest.mark.parametrize(
    ("count", "fraction", "held"), [(1, 0.1, 0), (2, 0.1, 1), (5, 0.0, 0), (20, 0.1, 2), (2, 0.9, 1)]
)
def test_split_is_by_image(tmp_path, load, count, fraction, held):
    data = make(make_data(tmp_path / "d", count), load, tmp_path / "c", val_fraction=fraction)
    train, val = {s.stem for s in data.train_subjects}, {s.stem for s in data.val_subjects}
    assert len(val) == held
    assert len(train) == count - held
    assert not train & val


def test_split_depends_on_the_seed_only(tmp_path, load):
    folder = make_data(tmp_path / "d", 12)
    held = [[s.stem for s in make(folder, load, tmp_path / "c", seed=seed).val_subjects] for seed in (1, 1, 2, 3, 4)]
    assert held[0] == held[1]
    assert len({tuple(names) for names in held}) > 1


def test_validation_folder_is_taken_as_it_is(tmp_path, load):
    make_data(tmp_path / "d/train", 3)
    make_data(tmp_path / "d/val", 2)
    data = make(tmp_path / "d", load, tmp_path / "c")
    assert (len(data.train_subjects), len(data.val_subjects)) == (3, 2)
    given = make(None, load, tmp_path / "c", path=None, train=str(tmp_path / "d/train"), val=str(tmp_path / "d/val"))
    assert given.train_subjects == data.train_subjects


def test_validation_takes_whole_images_one_by_one(tmp_path, load):
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c", augmentation=FLIPS)
    (batch,) = list(data.val_dataloader())
    assert batch["image"].shape == (1, 1, 40, 48)
    expected = np.load(data.val_subjects[0].image)
    assert np.array_equal(batch["image"][0, 0].numpy(), expected)


def test_large_validation_images_keep_their_centre(tmp_path, load):
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c", val_max_size=[20, 100])
    (batch,) = list(data.val_dataloader())
    assert np.array_equal(batch["image"][0, 0].numpy(), np.load(data.val_subjects[0].image)[10:30])


def test_one_image_leaves_nothing_for_validation(tmp_path, load):
    data = make(make_data(tmp_path / "d", 1), load, tmp_path / "c")
    assert data.val_dataloader() == []


def test_second_epoch_and_second_run_read_no_image_file(tmp_path, load, recwarn):
    folder = make_data(tmp_path / "d", costmaps=(0, 1))
    first = make(folder, load, tmp_path / "c", preprocessing=build_percentile(NormalizePercentileConfig()))
    one = epoch(first, 0)
    subjects = first.train_subjects
    assert sorted(load.take()) == sorted(p.name for s in subjects for p in (s.image, s.target, s.costmap) if p)
    epoch(first, 1)
    assert load.take() == []
    again = make(folder, load, tmp_path / "c", preprocessing=build_percentile(NormalizePercentileConfig()))
    assert same(epoch(again, 0), one)
    assert load.take() == []
    assert not [w for w in recwarn if "orrupt" in str(w.message)]
    assert len(list((tmp_path / "c").glob("*.safetensors"))) == len(subjects)


def test_what_changes_a_sample_renews_the_cache(tmp_path, load):
    folder = make_data(tmp_path / "d", 3)
    options = {"val_fraction": 0}
    epoch(make(folder, load, tmp_path / "c", fingerprint="a", **options))
    assert len(load.take()) == 6
    epoch(make(folder, load, tmp_path / "c", fingerprint="b", **options))
    assert len(load.take()) == 6
    np.save(folder / "s1_IM.npy", np.zeros((40, 48), np.uint8))
    os.utime(folder / "s1_IM.npy", ns=(1, 1))
    batches = epoch(make(folder, load, tmp_path / "c", fingerprint="a", **options))
    assert sorted(load.take()) == ["s1_GT.npy", "s1_IM.npy"]
    assert sum(int((image == 0).all()) for batch in batches for image in batch["image"]) == 3


def test_the_cache_is_found_where_files_were_moved_or_touched(tmp_path, load):
    """Its keys are made of what files hold, and not of where they lie or when they were written."""
    folder = make_data(tmp_path / "d", 3)
    first = epoch(make(folder, load, tmp_path / "c", val_fraction=0))
    assert len(load.take()) == 6
    folder.rename(tmp_path / "elsewhere")
    for file in (tmp_path / "elsewhere").iterdir():
        os.utime(file, ns=(1, 1))
    assert same(epoch(make(tmp_path / "elsewhere", load, tmp_path / "c", val_fraction=0)), first)
    assert load.take() == []


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"PK\x03\x04 half of a file"])
def test_a_damaged_cache_file_is_made_anew(tmp_path, load, content):
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c")
    before = epoch(data)
    for file in (tmp_path / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(content)
    assert same(epoch(data), before)
    load.take()
    epoch(data)
    assert load.take() == []


def test_training_goes_on_when_the_cache_cannot_be_written(tmp_path, load, caplog, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("im2im_core.data.caching.save_file", full)
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c")
    assert len(epoch(data)) == 3
    assert "No space left" in caplog.text
    assert not list((tmp_path / "c").glob("*.safetensors"))


@pytest.mark.parametrize(("cache", "reads"), [("memory", 0), ("smart", 0), ("none", 3 * 2 * 4)])
def test_other_caches(tmp_path, load, cache, reads):
    data = make(make_data(tmp_path / "d"), load, None, cache=cache)
    first = epoch(data)
    load.take()
    assert same(epoch(data), first)
    assert len(load.take()) == reads


def test_without_a_folder_samples_stay_in_memory(tmp_path, load):
    data = make(make_data(tmp_path / "d"), load, None)
    epoch(data)
    load.take()
    epoch(data, 1)
    assert load.take() == []


def smart(folder, load):
    return make(
        folder,
        load,
        None,
        cache="smart",
        cache_rate=0.5,
        reload_share=0.5,
        reload_every=2,
        val_fraction=0,
        patches_per_image=1,
    )


def seen(batches) -> set[int]:
    return {int(target.max()) for batch in batches for target in batch["target"]}


def test_smart_cache_moves_over_all_images(tmp_path, load):
    folder = make_data(tmp_path / "d", 8, shape=(16, 16))
    for index in range(8):
        np.save(folder / f"s{index}_GT.npy", np.full((16, 16), index + 1, np.uint8))
    data = smart(folder, load)
    epochs = [epoch(data, number) for number in range(8)]
    assert [len(seen(batches)) for batches in epochs] == [4] * 8
    assert seen(epochs[0]) == seen(epochs[1])
    assert len(seen(epochs[1]) & seen(epochs[2])) == 2
    assert set.union(*map(seen, epochs)) == set(range(1, 9))
    resumed = smart(folder, load)
    assert all(same(epoch(resumed, number), epochs[number]) for number in (5, 6, 7))
    data.teardown("fit")
    resumed.teardown("fit")


def noisy(sample):
    """An augmentation that knows nothing of MONAI and draws from every global generator."""
    shift = random.random() + float(np.random.rand()) + float(torch.rand(1))
    return {**sample, "image": sample["image"] + shift}


@pytest.mark.parametrize("augmentation", [FLIPS, noisy, Compose([noisy, *FLIPS.steps])])
def test_seed_and_epoch_decide_everything(tmp_path, load, augmentation):
    folder = make_data(tmp_path / "d")
    data = make(folder, load, tmp_path / "c", augmentation=augmentation)
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    one = epoch(data, 0)
    untouched = (float(torch.rand(1)), float(np.random.rand()), random.random())
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    assert untouched == (float(torch.rand(1)), float(np.random.rand()), random.random())
    assert not same(one, epoch(data, 1))
    other = make(folder, load, tmp_path / "c", augmentation=augmentation)
    third = epoch(other, 2)
    assert same(epoch(other, 0), one)
    assert same(epoch(data, 2), third)
    assert not same(
        epoch(make(folder, load, tmp_path / "c", augmentation=augmentation, seed=8, val=str(folder)), 0), one
    )


def test_workers_give_the_same_batches(tmp_path, load):
    folder = make_data(tmp_path / "d")
    alone = make(folder, load, tmp_path / "c", augmentation=Compose([noisy, *FLIPS.steps]))
    helped = make(folder, load, tmp_path / "c2", augmentation=Compose([noisy, *FLIPS.steps]), num_workers=2)
    loader = helped.train_dataloader()
    for number in (0, 1):
        loader.sampler.set_epoch(number)
        assert same(list(loader), epoch(alone, number))
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    helped.teardown("fit")
    assert not multiprocessing.active_children()


def test_every_patch_of_an_epoch_is_visited_once(tmp_path, load):
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c")
    sampler = data.train_dataloader().sampler
    orders = []
    for number in (0, 1):
        sampler.set_epoch(number)
        visits = list(sampler)
        assert sorted(visit.number for visit in visits) == list(range(12))
        assert {visit.epoch for visit in visits} == {number}
        orders.append([visit.number for visit in visits])
    assert orders[0] != orders[1]


def test_several_processes_share_an_epoch():
    from im2im_core.data.loading import VisitSampler

    shares = [[visit.number for visit in VisitSampler(11, 3, processes=2, rank=rank)] for rank in (0, 1)]
    assert [len(share) for share in shares] == [5, 5]
    assert not set(shares[0]) & set(shares[1])


def test_drop_last(tmp_path, load):
    folder = make_data(tmp_path / "d")
    assert len(epoch(make(folder, load, tmp_path / "c", batch_size=5))) == 3
    assert len(epoch(make(folder, load, tmp_path / "c", batch_size=5, drop_last=True))) == 2


def test_an_image_smaller_than_the_patch_is_continued_but_does_not_count(tmp_path, load):
    folder = make_data(tmp_path / "d", 3, shape=(20, 22))
    for index in range(3):
        np.save(folder / f"s{index}_IM.npy", np.full((20, 22), 9, np.uint8))
        np.save(folder / f"s{index}_GT.npy", np.full((20, 22), 4, np.uint8))
    batch = epoch(make(folder, load, tmp_path / "c", patch_size=[64, 22], val_fraction=0))[0]
    assert batch["image"].shape == (4, 1, 64, 22)
    assert (batch["image"] == 9).all()
    assert torch.equal(batch["costmap"], (batch["target"] == 4).float())
    assert batch["costmap"].sum() == 4 * 20 * 22


def test_patches_and_whole_images_in_one_data_set(tmp_path, load):
    folder = make_data(tmp_path / "d", 2)
    np.save(folder / "s0_IM.npy", np.ones((12, 48), np.uint8))
    np.save(folder / "s0_GT.npy", np.ones((12, 48), np.uint8))
    batches = epoch(make(folder, load, tmp_path / "c", val_fraction=0, batch_size=6, sampling="foreground"))
    assert [tuple(batch["costmap"].shape) for batch in batches] == [(6, 1, 16, 16)]


def test_foreground_sampling_centres_on_objects(tmp_path, load):
    folder = make_data(tmp_path / "d", 4, shape=(200, 200))
    share = {}
    for fraction in (0.0, 1.0):
        data = make(
            folder,
            load,
            tmp_path / "c",
            sampling="foreground",
            foreground_fraction=fraction,
            val_fraction=0,
            patches_per_image=10,
        )
        centres = torch.cat([batch["target"][:, 0, 8, 8] for batch in epoch(data)])
        share[fraction] = (centres > 0).float().mean()
    assert share[1.0] == 1
    assert share[0.0] == 0


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
@pytest.mark.filterwarnings("ignore:Num foregrounds")
def test_foreground_sampling_of_empty_and_full_targets(tmp_path, load, fraction):
    folder = make_data(tmp_path / "d", 2)
    np.save(folder / "s0_GT.npy", np.zeros((40, 48), np.uint8))
    np.save(folder / "s1_GT.npy", np.ones((40, 48), np.uint8))
    data = make(folder, load, tmp_path / "c", sampling="foreground", foreground_fraction=fraction, val_fraction=0)
    assert sum(len(batch["image"]) for batch in epoch(data)) == 6


def test_resampling_keeps_labels_whole(tmp_path, load):
    augmentation = Compose(
        [
            monai_transform("RandAffined", {"prob": 1.0, "rotate_range": 1.0, "scale_range": 0.3}),
            monai_transform("RandZoomd", {"prob": 1.0, "min_zoom": 0.7, "max_zoom": 1.4}),
        ]
    )
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c", augmentation=augmentation, patch_size=[32, 32])
    for batch in epoch(data):
        assert batch["target"].dtype == torch.int32
        assert set(batch["target"].unique().tolist()) <= {0, 1, 2, 3, 4, 5}


def test_the_cache_is_not_changed_by_an_augmentation_in_place(tmp_path, load):
    def spoil(sample):
        sample["image"].zero_()
        return sample

    data = make(
        make_data(tmp_path / "d"), load, None, cache="memory", augmentation=spoil, patch_size=None, batch_size=1
    )
    epoch(data)
    assert all(sample["image"].max() > 0 for sample in (data._train[i] for i in range(4)))


def test_channels_and_three_dimensions(tmp_path, load):
    folder = make_data(tmp_path / "d", 3, shape=(6, 40, 48), channels=2)
    for index in range(3):
        labels = np.load(folder / f"s{index}_GT.npy")
        np.save(folder / f"s{index}_GT.npy", labels[None])
    data = make(folder, load, tmp_path / "c", patch_size=[4, 16, 16], spatial_dims=3)
    assert data.facts.spatial_dims == 3
    assert (data.facts.in_channels, data.facts.target_channels) == (2, 1)
    assert epoch(data)[0]["image"].shape == (4, 2, 4, 16, 16)
    assert next(iter(data.val_dataloader()))["target"].shape == (1, 1, 6, 40, 48)


def test_facts(tmp_path, load):
    facts = inspect_paired(PairedConfig(path=str(make_data(tmp_path / "d", 10, costmaps=(3,)))), load)
    assert facts.pairs == 9
    assert (facts.spatial_dims, facts.in_channels, facts.target_channels) == (2, 1, 1)
    assert (facts.axes, facts.dtype, facts.target_dtype) == ("YX", "uint8", "uint16")
    assert facts.has_costmap
    assert facts.pixel_size == {"Y": 0.5, "X": 0.5}
    assert len(load.take()) <= 3


def test_settings_and_facts_need_no_torch():
    code = (
        "import sys; from im2im_core.builtin import dataset_declarations, sides, transform_config; "
        "from im2im_core.data import pairs, survey; "
        "print([m for m in ('torch', 'monai', 'pytorch_lightning', 'skimage', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give the data"),
        ({"path": "a", "train": "b"}, "give the data"),
        ({"path": "a", "patch_size": 0}, "greater than 0"),
        ({"path": "a", "patch": 3}, "Extra inputs"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        PairedConfig(**settings)


def test_every_setting_is_described():
    assert all(field.description for field in PairedConfig.model_fields.values())


def test_patch_size_of_other_dimensions(tmp_path, load):
    with pytest.raises(ConfigError, match=r"dataset.patch_size: 3 numbers for 2D images: '\[4, 16, 16\]'"):
        make(make_data(tmp_path / "d"), load, tmp_path / "c", patch_size=[4, 16, 16])


# What is wrong with the second image of the data set -> (what is written, part of the message).
def truncate(folder: Path) -> str:
    file = folder / "s2_IM.npy"
    file.write_bytes(file.read_bytes()[:500])
    return r"cannot read '.*s2_IM\.npy'"


def other_shape(folder: Path) -> str:
    np.save(folder / "s2_GT.npy", np.ones((40, 40), np.uint8))
    return r"image '.*s2_IM\.npy' has shape \(40, 48\) but its target '.*s2_GT\.npy' \(40, 40\)"


def not_a_number(folder: Path) -> str:
    image = np.ones((40, 48), np.float32)
    image[3, 4:6] = [np.nan, np.inf]
    np.save(folder / "s2_IM.npy", image)
    return r"'.*s2_IM\.npy' holds NaN or infinite values in 2 of 1920"


def other_channels(folder: Path) -> str:
    np.save(folder / "s2_IM.npy", np.ones((3, 40, 48), np.uint8))
    return r"'.*s2_IM\.npy' has 3 channel\(s\), the first one of the data set 1"


def other_dimensions(folder: Path) -> str:
    np.save(folder / "s2_IM.npy", np.ones((1, 4, 40, 48), np.uint8))
    return r"'.*s2_IM\.npy': .*Z=4 would be lost"


def other_costmap(folder: Path) -> str:
    np.save(folder / "s2_CM.npy", np.ones((20, 48), np.uint8))
    return r"its cost map '.*s2_CM\.npy' \(20, 48\)"


FAULTS = [truncate, other_shape, not_a_number, other_channels, other_dimensions, other_costmap]


@pytest.mark.parametrize("spoil", FAULTS)
@pytest.mark.parametrize("cache", ["persistent", "memory", "none"])
def test_a_bad_image_is_named(tmp_path, load, spoil, cache):
    folder = make_data(tmp_path / "d", 3)
    message = spoil(folder)
    data = make(folder, load, tmp_path / "c", cache=cache, val_fraction=0)
    with pytest.raises(DataError, match=message) as caught:
        epoch(data)
    assert caught.value.hint
    assert "Traceback" not in caught.value.message


@pytest.mark.parametrize("spoil", [truncate, other_shape])
def test_a_bad_image_is_named_from_a_worker(tmp_path, load, spoil):
    folder = make_data(tmp_path / "d", 3)
    message = spoil(folder)
    data = make(folder, load, tmp_path / "c", val_fraction=0, num_workers=2)
    with pytest.raises(DataError, match=f"^{message}") as caught:
        epoch(data)
    assert caught.value.hint
    assert "worker" not in caught.value.message


def test_a_bad_validation_image_is_named(tmp_path, load):
    make_data(tmp_path / "d/train", 2)
    message = not_a_number(make_data(tmp_path / "d/val", 3))
    data = make(tmp_path / "d", load, tmp_path / "c", num_workers=2)
    with pytest.raises(DataError, match=message):
        list(data.val_dataloader())


def test_a_bad_first_pair_is_found_before_training(tmp_path, load):
    folder = make_data(tmp_path / "d", 3)
    np.save(folder / "s0_GT.npy", np.ones((40, 40), np.uint8))
    with pytest.raises(DataError, match="has shape"):
        inspect_paired(PairedConfig(path=str(folder)), load)


def empty_targets(folder: Path, indices) -> Path:
    for index in indices:
        np.save(folder / f"s{index}_GT.npy", np.zeros((40, 48), np.uint8))
    return folder


def test_targets_without_any_object(tmp_path, load):
    folder = empty_targets(make_data(tmp_path / "d", 4), range(4))
    data = make(folder, load, tmp_path / "c", task="instance-segmentation")
    with pytest.raises(DataError, match="none of the 3 training targets holds an object"):
        data.setup("fit")
    make(folder, load, tmp_path / "c", task="restoration").setup("fit")


def test_one_target_without_objects_is_fine(tmp_path, load):
    folder = empty_targets(make_data(tmp_path / "d", 4), [0, 2])
    data = make(folder, load, tmp_path / "c", task="instance-segmentation", val_fraction=0)
    assert len(epoch(data)) == 3


def test_whole_images_of_different_shapes_cannot_be_stacked(tmp_path, load):
    folder = make_data(tmp_path / "d", 2)
    np.save(folder / "s0_IM.npy", np.ones((30, 48), np.uint8))
    np.save(folder / "s0_GT.npy", np.ones((30, 48), np.uint8))
    with pytest.raises(DataError, match=r"different shapes.*'\(1, 30, 48\)', '\(1, 40, 48\)'") as caught:
        epoch(make(folder, load, tmp_path / "c", patch_size=None, val_fraction=0))
    assert "dataset.patch_size" in caught.value.hint


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_augmentation_says_so(tmp_path, load, workers):
    data = make(
        make_data(tmp_path / "d"), load, tmp_path / "c", augmentation=lambda s: s["nothing"], num_workers=workers
    )
    with pytest.raises(DataError, match="an augmentation failed: KeyError: 'nothing'") as caught:
        epoch(data)
    assert "augmentation" in caught.value.hint


def test_a_mistake_in_preprocessing_code_is_not_hidden(tmp_path, load):
    def broken(sample):
        raise ZeroDivisionError("a bug")

    data = make(make_data(tmp_path / "d"), load, tmp_path / "c", preprocessing=broken)
    with pytest.raises(RuntimeError) as caught:
        epoch(data)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_resumed_training_sees_the_batches_of_an_uninterrupted_one(tmp_path, load):
    import pytorch_lightning as pl

    class Recorder(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(1, 1, 1)
            self.seen = {}

        def training_step(self, batch, index):
            self.seen.setdefault(self.current_epoch, []).append(float(batch["image"].double().sum()))
            return self.layer(batch["image"]).mean()

        def validation_step(self, batch, index):
            return None

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6)

    folder = make_data(tmp_path / "d")
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}

    def fit(epochs, resume=None):
        model = Recorder()
        trainer = pl.Trainer(max_epochs=epochs, enable_checkpointing=False, num_sanity_val_steps=1, **options)
        data = make(folder, load, tmp_path / "c", augmentation=FLIPS)
        trainer.fit(model, data, ckpt_path=resume, weights_only=resume is not None or None)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return model.seen

    whole = fit(4)
    fit(2)
    resumed = fit(4, resume=tmp_path / "2.ckpt")
    assert sorted(resumed) == [2, 3]
    assert {number: whole[number] for number in (2, 3)} == resumed
    assert len({tuple(batches) for batches in whole.values()}) == 4


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared images are not part of the repository")
def test_real_nuclei(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    source = tmp_path / "few.csv"
    images = sorted((SHARED / "data/nuclei2d/train").glob("*_IM.tiff"))[:6]
    rows = [",".join(str(image).replace("_IM", role) for role in ("_IM", "_GT", "_CM")) for image in images]
    source.write_text("image,target,costmap\n" + "\n".join(rows))

    def load(path):
        return Image(tifffile.imread(path), "YX")

    data = make(
        source,
        load,
        tmp_path / "c",
        preprocessing=build_percentile(NormalizePercentileConfig()),
        augmentation=FLIPS,
        patch_size=128,
        sampling="foreground",
        task="instance-segmentation",
    )
    batches = epoch(data)
    assert batches[0]["image"].shape == (4, 1, 128, 128)
    assert all(set(batch["costmap"].unique().tolist()) <= {0.0, 1.0} for batch in batches)
    assert sum((batch["target"] > 0).float().mean() for batch in batches) > 0.1
    assert torch.isfinite(torch.cat([batch["image"] for batch in batches])).all()
