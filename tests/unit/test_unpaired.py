"""The data set of images and targets that are no pairs: pairing, independence, determinism, caches, validation."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from im2im_core.build import Compose
from im2im_core.builtin.dataset_config import UnpairedConfig
from im2im_core.builtin.sides import inspect_unpaired, survey_unpaired
from im2im_core.builtin.transform_config import NormalizeConfig, NormalizePercentileConfig
from im2im_core.builtin.transforms import build_minmax, build_percentile, monai_transform
from im2im_core.builtin.unpaired import UnpairedDataModule
from im2im_core.errors import DataError
from im2im_core.image import Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


class Loader:
    """Opens .npy files and notes each one."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def __call__(self, path: Path) -> Image:
        self.opened.append(path.name)
        data = np.load(path)
        axes = {2: "YX", 3: "CYX", 4: "CZYX"}[data.ndim]
        return Image(data, axes, {"Y": 0.5, "X": 0.5})

    def take(self) -> list[str]:
        names, self.opened = self.opened, []
        return names


@pytest.fixture
def load():
    return Loader()


def fill(folder: Path, count: int, *, first: int = 1, shape=(40, 48), dtype="uint8", channels=1, stem="n") -> Path:
    """Images that are told apart by their only value."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        full = shape if channels == 1 else (channels, *shape)
        np.save(folder / f"{stem}{number:02d}.npy", np.full(full, number, dtype))
    return folder


def make_data(folder: Path, images: int = 3, targets: int = 7, **targets_are) -> Path:
    fill(folder / "A", images)
    fill(folder / "B", targets, **{"first": 101, "shape": (33, 36), "dtype": "float32", "stem": "m", **targets_are})
    return folder


def nothing(sample):
    return sample


def make(folder, load, cache_dir, *, augmentation=nothing, preprocessing=nothing, seed=7, fingerprint="", **settings):
    settings = {"patch_size": 16, "patches_per_image": 1, "val_fraction": 0, "path": str(folder), **settings}
    config = UnpairedConfig(**settings)
    facts = inspect_unpaired(config, load)
    data = UnpairedDataModule(
        config,
        load=load,
        preprocessing=preprocessing,
        augmentation=augmentation,
        spatial_dims=facts.spatial_dims,
        seed=seed,
        cache_dir=cache_dir,
        fingerprint=fingerprint,
    )
    load.take()
    return data


def epoch(data, number: int = 0):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return list(loader)


def same(left, right) -> bool:
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in zip(left, right, strict=True)
    )


def values(batches, key: str) -> list[int]:
    """What the patches of an epoch were cut from."""
    return [int(patch.flatten()[0]) for batch in batches for patch in batch[key]]


def meetings(batches) -> list[tuple[int, int]]:
    return list(zip(values(batches, "image"), values(batches, "target"), strict=True))


def make_ramps(folder: Path, count: int = 6, size: int = 64) -> Path:
    """Images and targets whose pixels tell where they lie: all are the same plane of distinct numbers."""
    plane = np.arange(size * size, dtype=np.float32).reshape(size, size)
    for side in ("A", "B"):
        (folder / side).mkdir(parents=True)
        for number in range(count):
            np.save(folder / side / f"{number}.npy", plane)
    return folder


def test_batches_are_plain_tensors_of_both_types(tmp_path, load):
    data = make(make_data(tmp_path / "d", channels=3, dtype="uint16"), load, tmp_path / "c", batch_size=4)
    batches = epoch(data)
    assert [len(batch["image"]) for batch in batches] == [4, 3]
    for batch in batches:
        assert set(batch) == {"image", "target"}
        assert type(batch["image"]) is type(batch["target"]) is torch.Tensor
        assert batch["image"].shape[1:] == (1, 16, 16)
        assert batch["target"].shape[1:] == (3, 16, 16)
        assert (batch["image"].dtype, batch["target"].dtype) == (torch.float32, torch.int32)


@pytest.mark.parametrize(("images", "targets"), [(3, 7), (7, 3), (5, 5)])
def test_an_epoch_visits_the_larger_side_once_and_the_smaller_evenly(tmp_path, load, images, targets):
    data = make(make_data(tmp_path / "d", images, targets), load, tmp_path / "c")
    for number in (0, 1):
        counts = [Counter(values(epoch(data, number), key)) for key in ("image", "target")]
        larger, smaller = sorted(counts, key=len, reverse=True)
        assert set(larger.values()) == {1}
        assert (len(counts[0]), len(counts[1])) == (images, targets)
        assert max(smaller.values()) - min(smaller.values()) <= 1


def test_patches_per_image_counts_for_the_larger_side(tmp_path, load):
    data = make(make_data(tmp_path / "d", 2, 5), load, tmp_path / "c", patches_per_image=4)
    batches = epoch(data)
    assert set(Counter(values(batches, "target")).values()) == {4}
    assert set(Counter(values(batches, "image")).values()) == {10}


def test_every_epoch_pairs_anew(tmp_path, load):
    data = make(make_data(tmp_path / "d", 6, 6), load, tmp_path / "c")
    epochs = [sorted(meetings(epoch(data, number))) for number in range(4)]
    assert len({tuple(pairs) for pairs in epochs}) == 4
    met = Counter(pair for pairs in epochs for pair in pairs)
    assert len(met) > 15  # of 24; fixed pairs would be 6


def test_crops_are_independent(tmp_path, load):
    batches = epoch(make(make_ramps(tmp_path / "d"), load, tmp_path / "c", patches_per_image=8))
    corners = [
        (int(i[0, 0, 0]), int(t[0, 0, 0])) for b in batches for i, t in zip(b["image"], b["target"], strict=True)
    ]
    assert len(corners) == 48
    assert sum(image == target for image, target in corners) <= 2
    rows = np.array([(image // 64, target // 64) for image, target in corners], float)
    assert abs(np.corrcoef(rows.T)[0, 1]) < 0.4
    assert min(len(set(column)) for column in rows.T) > 15


def test_augmentation_is_independent(tmp_path, load):
    flips = Compose([monai_transform("RandFlipd", {"prob": 0.5, "spatial_axis": axis}) for axis in (0, 1)])
    data = make(
        make_ramps(tmp_path / "d"), load, tmp_path / "c", augmentation=flips, patch_size=64, patches_per_image=20
    )
    plane = torch.arange(64 * 64, dtype=torch.float32).reshape(64, 64)
    turned = [plane.flip(axes) for axes in ((), (0,), (1,), (0, 1))]
    seen = Counter()
    for batch in epoch(data):
        for image, target in zip(batch["image"], batch["target"], strict=True):
            seen[tuple(next(k for k, t in enumerate(turned) if torch.equal(x[0], t)) for x in (image, target))] += 1
    assert sum(seen.values()) == 120
    assert len(seen) == 16  # every way of turning the one with every way of turning the other
    assert max(seen.values()) < 20


def test_intensities_of_one_side_leave_the_other_alone(tmp_path, load):
    noise = Compose([monai_transform("RandGaussianNoised", {"prob": 1.0})])
    batches = epoch(make(make_data(tmp_path / "d"), load, tmp_path / "c", augmentation=noise))
    assert all((batch["target"] == batch["target"].round()).all() for batch in batches)
    assert not any((batch["image"] == batch["image"].round()).all() for batch in batches)


def noisy(sample):
    """An augmentation that knows nothing of MONAI and draws from every global generator."""
    shift = random.random() + float(np.random.rand()) + float(torch.rand(1))
    return {key: value + shift for key, value in sample.items()}


FLIPS = (
    monai_transform("RandFlipd", {"prob": 0.5, "spatial_axis": 0}),
    monai_transform("RandRotate90d", {"prob": 0.5}),
)


@pytest.mark.parametrize("augmentation", [Compose(FLIPS), noisy, Compose([noisy, *FLIPS])])
def test_seed_and_epoch_decide_everything(tmp_path, load, augmentation):
    folder = make_ramps(tmp_path / "d")
    data = make(folder, load, tmp_path / "c", augmentation=augmentation)
    torch.manual_seed(1)
    one = epoch(data, 0)
    untouched = float(torch.rand(1))
    torch.manual_seed(1)
    assert untouched == float(torch.rand(1))
    assert not same(one, epoch(data, 1))
    other = make(folder, load, tmp_path / "c", augmentation=augmentation)
    third = epoch(other, 2)
    assert same(epoch(other, 0), one)
    assert same(epoch(data, 2), third)
    assert not same(epoch(make(folder, load, tmp_path / "c", augmentation=augmentation, seed=8), 0), one)


def test_workers_give_the_same_batches(tmp_path, load):
    folder = make_data(tmp_path / "d", 4, 6)
    before = set(multiprocessing.active_children())
    options = {"augmentation": Compose([noisy, *FLIPS]), "patches_per_image": 2}
    alone = make(folder, load, tmp_path / "c", **options)
    helped = make(folder, load, tmp_path / "c2", num_workers=2, **options)
    loader = helped.train_dataloader()
    for number in (0, 1):
        loader.sampler.set_epoch(number)
        assert same(list(loader), epoch(alone, number))
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    helped.teardown("fit")
    assert not set(multiprocessing.active_children()) & workers


@pytest.mark.parametrize("cache", ["persistent", "memory", "none"])
def test_caches_read_each_file_once(tmp_path, load, cache):
    folder = make_data(tmp_path / "d", 3, 4)
    data = make(folder, load, tmp_path / "c", cache=cache, patches_per_image=2)
    first = epoch(data)
    read = load.take()
    assert same(epoch(data), first)
    again = load.take()
    if cache == "none":
        assert len(read) == len(again) == 16
        return
    assert sorted(read) == sorted(path.name for path in folder.glob("*/*.npy"))
    assert again == []
    if cache == "persistent":
        assert same(epoch(make(folder, load, tmp_path / "c", cache=cache, patches_per_image=2)), first)
        assert load.take() == []
        assert len(list((tmp_path / "c").glob("*.safetensors"))) == 7


def test_what_changes_a_sample_renews_its_cache_only(tmp_path, load):
    folder = make_data(tmp_path / "d", 3, 4)
    epoch(make(folder, load, tmp_path / "c", fingerprint="a"))
    load.take()
    epoch(make(folder, load, tmp_path / "c", fingerprint="b"))
    assert len(load.take()) == 7
    np.save(folder / "A" / "n02.npy", np.full((41, 48), 50, np.uint8))
    assert 50 in values(epoch(make(folder, load, tmp_path / "c", fingerprint="a")), "image")
    assert load.take() == ["n02.npy"]


def test_one_folder_can_be_both_sides(tmp_path, load):
    """A file is cached for each role: as an image it becomes float."""
    images = fill(tmp_path / "d", 3)
    table = tmp_path / "both.csv"
    table.write_text("image,target\n" + "\n".join(f"{p},{p}" for p in sorted(images.iterdir())))
    data = make(table, load, tmp_path / "c")
    batch = epoch(data)[0]
    assert (batch["image"].dtype, batch["target"].dtype) == (torch.float32, torch.int32)
    assert len(list((tmp_path / "c").glob("*.safetensors"))) == 6


def test_smart_cache_moves_over_both_sides(tmp_path, load):
    folder = make_data(tmp_path / "d", 4, 8)
    options = {"cache": "smart", "cache_rate": 0.5, "reload_share": 0.5}
    data = make(folder, load, None, **options)
    epochs = [epoch(data, number) for number in range(5)]
    assert all(len(set(values(batches, "image"))) == 2 for batches in epochs)
    assert all(len(set(values(batches, "target"))) == 4 for batches in epochs)
    assert {v for batches in epochs for v in values(batches, "target")} == set(range(101, 109))
    assert {v for batches in epochs for v in values(batches, "image")} == set(range(1, 5))
    resumed = make(folder, load, None, **options)
    assert same(epoch(resumed, 3), epochs[3])
    data.teardown("fit")
    resumed.teardown("fit")


def test_each_side_is_normalized_by_its_own_statistics(tmp_path, load):
    folder = make_data(tmp_path / "d", 2, 2)
    for side, scale in (("A", 1), ("B", 100)):
        for number, path in enumerate(sorted((folder / side).iterdir())):
            np.save(path, np.linspace(5, 5 + scale * (number + 1), 1600, dtype=np.float32).reshape(40, 40))
    steps = Compose([build_minmax(NormalizeConfig(keys=(key,))) for key in ("image", "target")])
    for batch in epoch(make(folder, load, tmp_path / "c", preprocessing=steps, patch_size=40)):
        for key in ("image", "target"):
            assert batch[key].amin(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0])
            assert batch[key].amax(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1])
    only = epoch(make(folder, load, tmp_path / "c", preprocessing=steps.steps[1], patch_size=40, fingerprint="t"))
    assert max(float(batch["image"].max()) for batch in only) == 7
    assert max(float(batch["target"].max()) for batch in only) == 1


def test_a_step_that_needs_both_sides_says_so(tmp_path, load):
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c", preprocessing=lambda s: {**s, "image": s["image"] * 2})
    with pytest.raises(DataError, match="finds no 'image' in a sample that holds the target alone") as caught:
        epoch(data)
    assert "preprocessing" in caught.value.hint


def test_what_is_smaller_than_the_patch_is_continued(tmp_path, load):
    data = make(make_data(tmp_path / "d", 2, 3, dtype="uint8"), load, tmp_path / "c", patch_size=[64, 44], batch_size=3)
    (batch,) = epoch(data)
    assert batch["image"].shape == batch["target"].shape == (3, 1, 64, 44)
    assert set(batch) == {"image", "target"}
    assert all((patch == patch.flatten()[0]).all() for key in batch for patch in batch[key])


def test_three_dimensions(tmp_path, load):
    fill(tmp_path / "d/A", 2, shape=(6, 20, 24), channels=2)
    fill(tmp_path / "d/B", 3, shape=(1, 5, 22, 20), first=101)
    data = make(tmp_path / "d", load, tmp_path / "c", spatial_dims=3, patch_size=[4, 16, 16], val_fraction=0.4)
    batch = epoch(data)[0]
    assert (batch["image"].shape[1:], batch["target"].shape[1:]) == ((2, 4, 16, 16), (1, 4, 16, 16))
    held = next(iter(data.val_dataloader()))
    assert (held["image"].shape, held["target"].shape) == ((1, 2, 5, 20, 20), (1, 1, 5, 20, 20))


def test_whole_images_of_two_sizes(tmp_path, load):
    data = make(make_data(tmp_path / "d"), load, tmp_path / "c", patch_size=None, batch_size=3)
    assert epoch(data)[0]["target"].shape == (3, 1, 33, 36)
    np.save(tmp_path / "d/B/m101.npy", np.ones((30, 36), np.float32))
    data = make(tmp_path / "d", load, tmp_path / "c", patch_size=None, batch_size=7)
    with pytest.raises(DataError, match="targets of different shapes cannot form one batch"):
        epoch(data)


def test_each_side_is_split_by_the_seed(tmp_path, load):
    folder = make_data(tmp_path / "d", 10, 20)
    splits = []
    for seed in (1, 1, 2):
        data = make(folder, load, tmp_path / "c", val_fraction=0.2, seed=seed)
        train, val = data.train_sides, data.val_sides
        assert (len(train.images), len(val.images), len(train.targets), len(val.targets)) == (8, 2, 16, 4)
        assert not {s.stem for s in train.images} & {s.stem for s in val.images}
        assert not {s.stem for s in train.targets} & {s.stem for s in val.targets}
        splits.append([s.stem for s in (*val.images, *val.targets)])
    assert splits[0] == splits[1] != splits[2]


def test_a_single_file_on_one_side_leaves_nothing_for_validation(tmp_path, load):
    data = make(make_data(tmp_path / "d", 1, 6), load, tmp_path / "c", val_fraction=0.5)
    assert data.val_dataloader() == []
    assert len(set(values(epoch(data), "target"))) == 6


def val_meetings(data) -> list[tuple[int, int]]:
    return meetings(data.val_dataloader())


def test_validation_without_names_in_common_goes_by_order(tmp_path, load):
    make_data(tmp_path / "d/train", 2, 2)
    make_data(tmp_path / "d/val", 2, 5)
    data = make(tmp_path / "d", load, tmp_path / "c", augmentation=noisy)
    assert val_meetings(data) == [(1, 101), (2, 102), (1, 103), (2, 104), (1, 105)]
    assert val_meetings(data) == val_meetings(make(tmp_path / "d", load, tmp_path / "c", seed=3))


def test_validation_pairs_by_name(tmp_path, load):
    make_data(tmp_path / "d/train", 2, 2)
    fill(tmp_path / "d/val/A", 4, first=1)
    fill(tmp_path / "d/val/B", 4, first=2)
    data = make(tmp_path / "d", load, tmp_path / "c")
    assert val_meetings(data) == [(2, 2), (3, 3), (4, 4)]


def test_a_single_coincidence_of_names_is_no_pair(tmp_path, load):
    make_data(tmp_path / "d/train", 2, 2)
    fill(tmp_path / "d/val/A", 4, first=1)
    fill(tmp_path / "d/val/B", 4, first=4)
    assert val_meetings(make(tmp_path / "d", load, tmp_path / "c")) == [(1, 4), (2, 5), (3, 6), (4, 7)]


def test_two_sides_of_equal_names_are_split_alike(tmp_path, load):
    fill(tmp_path / "d/IM", 10)
    fill(tmp_path / "d/GT", 10)
    data = make(tmp_path / "d", load, tmp_path / "c", val_fraction=0.3)
    pairs = val_meetings(data)
    assert len(pairs) == 3
    assert all(image == target for image, target in pairs)
    assert not set(values(epoch(data), "target")) & {target for _, target in pairs}


def test_validation_takes_the_centre_that_both_have(tmp_path, load):
    make_data(tmp_path / "d/train", 2, 2)
    for side, shape in (("A", (50, 30)), ("B", (40, 60))):
        (tmp_path / "d/val" / side).mkdir(parents=True)
        np.save(tmp_path / "d/val" / side / "x.npy", np.indices(shape).sum(0).astype(np.float32))
    (batch,) = make(tmp_path / "d", load, tmp_path / "c", val_max_size=20).val_dataloader()
    assert batch["image"].shape == batch["target"].shape == (1, 1, 20, 20)
    assert (batch["image"][0, 0, 0, 0], batch["target"][0, 0, 0, 0]) == (15 + 5, 10 + 20)
    (batch,) = make(tmp_path / "d", load, tmp_path / "c").val_dataloader()
    assert batch["image"].shape == (1, 1, 40, 30)
    assert (batch["image"][0, 0, 0, 0], batch["target"][0, 0, 0, 0]) == (5, 15)


def test_facts(tmp_path, load):
    folder = make_data(tmp_path / "d", 4, 10, channels=2, dtype="uint16")
    facts = inspect_unpaired(UnpairedConfig(path=str(folder)), load)
    assert (facts.pairs, facts.sides) == (9, (3, 9))
    assert (facts.spatial_dims, facts.in_channels, facts.target_channels) == (2, 1, 2)
    assert (facts.axes, facts.dtype, facts.target_dtype, facts.has_costmap) == ("YX", "uint8", "uint16", False)
    assert facts.pixel_size == {"Y": 0.5, "X": 0.5}
    assert len(load.take()) == 3


def test_survey(tmp_path, load):
    folder = make_data(tmp_path / "d", 3, 5, dtype="uint16")
    found = survey_unpaired(UnpairedConfig(path=str(folder)), load, images=True)
    assert found.shapes == ((40, 48),) * 3
    assert found.classes == (101, 102, 103, 104, 105)
    assert found.target_range[0] == pytest.approx((101, 105))
    assert found.image_range[0] == pytest.approx((1, 3))
    assert found.foreground == 1


def test_every_setting_is_described():
    assert all(field.description for field in UnpairedConfig.model_fields.values())


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("side", ["A", "B"])
def test_a_bad_file_is_named(tmp_path, load, side, workers):
    folder = make_data(tmp_path / "d", 4, 4)
    path = sorted((folder / side).iterdir())[2]
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=f"^cannot read '.*{path.name}'") as caught:
        epoch(make(folder, load, tmp_path / "c", num_workers=workers))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("side", "wrong", "message"),
    [
        ("B", np.ones((2, 33, 36), np.float32), r"m103\.npy' has 2 channel\(s\), the first one of the data set 1"),
        ("A", np.ones((1, 4, 40, 48), np.uint8), r"n03\.npy': .*Z=4 would be lost"),
        ("B", np.full((33, 36), np.nan, np.float32), r"m103\.npy' holds NaN or infinite values in 1188 of 1188"),
        ("A", np.ones((0, 48), np.uint8), r"n03\.npy' is empty"),
    ],
)
def test_an_odd_file_is_named(tmp_path, load, side, wrong, message):
    folder = make_data(tmp_path / "d", 4, 4)
    np.save(sorted((folder / side).iterdir())[2], wrong)
    with pytest.raises(DataError, match=message):
        epoch(make(folder, load, tmp_path / "c"))


def test_resumed_training_sees_the_batches_of_an_uninterrupted_one(tmp_path, load):
    import pytorch_lightning as pl

    class Recorder(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(1, 1, 1)
            self.seen = {}

        def training_step(self, batch, index):
            sums = tuple(float(batch[key].double().sum()) for key in ("image", "target"))
            self.seen.setdefault(self.current_epoch, []).append(sums)
            return self.layer(batch["image"]).mean()

        def validation_step(self, batch, index):
            return None

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6)

    folder = make_ramps(tmp_path / "d")
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}

    def fit(epochs, resume=None):
        model = Recorder()
        trainer = pl.Trainer(max_epochs=epochs, enable_checkpointing=False, num_sanity_val_steps=1, **options)
        data = make(folder, load, tmp_path / "c", augmentation=Compose(FLIPS), val_fraction=0.3)
        trainer.fit(model, data, ckpt_path=resume, weights_only=resume is not None or None)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return model.seen

    whole = fit(4)
    fit(2)
    resumed = fit(4, resume=tmp_path / "2.ckpt")
    assert {number: whole[number] for number in (2, 3)} == resumed
    assert len({tuple(batches) for batches in whole.values()}) == 4


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared images are not part of the repository")
def test_real_masks_and_fluorescence(tmp_path, load):
    tifffile = pytest.importorskip("tifffile")

    def read(path):
        return Image(tifffile.imread(path), "YX")

    data_root = SHARED / "data/unpaired_mask2fluo"
    config = UnpairedConfig(
        train=str(data_root / "train"),
        val=str(data_root / "holdout"),
        patch_size=128,
        patches_per_image=2,
        batch_size=8,
    )
    facts = inspect_unpaired(config, read)
    survey = survey_unpaired(config, read)
    assert (facts.spatial_dims, facts.in_channels, facts.target_channels) == (2, 1, 1)
    assert survey.target_range[0][1] > survey.target_range[0][0]
    steps = Compose([build_percentile(NormalizePercentileConfig(keys=("target",)))])
    data = UnpairedDataModule(
        config,
        load=read,
        preprocessing=steps,
        augmentation=Compose(FLIPS),
        spatial_dims=2,
        seed=0,
        cache_dir=tmp_path,
    )
    batches = epoch(data)
    assert sum(len(batch["image"]) for batch in batches) == 2 * data.train_sides.most == 2 * facts.pairs
    assert torch.isfinite(torch.cat([batch["target"] for batch in batches])).all()
    assert 0 < float(torch.cat([batch["target"] for batch in batches]).mean()) < 1
    held = list(data.val_dataloader())
    assert len(held) == 4
    assert all(batch["image"].shape == batch["target"].shape for batch in held)


# --- channels


def test_channels_are_those_of_the_images(tmp_path, load):
    """Each channel of an image has a value of its own; targets keep all of theirs."""
    for number, path in enumerate(sorted(fill(tmp_path / "A", 3, channels=3).iterdir())):
        np.save(path, np.arange(3, dtype=np.uint8)[:, None, None] + np.full((3, 40, 48), 10 * number, np.uint8))
    fill(tmp_path / "B", 4, first=101, shape=(33, 36), channels=2)
    data = make(tmp_path, load, tmp_path / "c", channels=(2, "0"))
    assert (data.facts.in_channels, data.facts.target_channels) == (2, 2)
    (batch,) = epoch(data)
    assert batch["image"].shape[1] == batch["target"].shape[1] == 2
    assert {tuple(patch[:, 0, 0].tolist()) for patch in batch["image"]} <= {(10 * n + 2, 10 * n) for n in range(3)}
    config = UnpairedConfig(path=str(tmp_path), channels=2)
    assert survey_unpaired(config, load, images=True).image_range == ((2.0, 22.0),)
    with pytest.raises(DataError, match="no channel '3'"):
        inspect_unpaired(UnpairedConfig(path=str(tmp_path), channels="3"), load)
