"""Every preset: resolves, trains an epoch, predicts, evaluates. Over the registry, not over a list written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from im2im_core.cli.evaluate import run_evaluation
from im2im_core.cli.predict import run_prediction
from im2im_core.cli.train import resolve_settings, run_training
from im2im_core.registry import Registry

REGISTRY = Registry.discover()
PRESETS = [entry.component for entry in REGISTRY.components("preset") if entry.plugin == "gan"]
SHAPES = {2: (48, 44), 3: (9, 40, 36)}


def write_images(folder: Path, dims: int, task: str, *, paired: bool) -> Path:
    """Blobs and what they are made from, in which order the task has it."""
    random = np.random.default_rng(0)
    (folder / "A").mkdir(parents=True)
    (folder / "B").mkdir()
    for index in range(3):
        mask = np.zeros(SHAPES[dims], np.uint8)
        for corner in random.integers(0, 30, (3 + index, dims)):
            mask[tuple(slice(c, c + 8) for c in corner)] = 255
        bright = (random.normal(100, 10, mask.shape) + mask).clip(0).astype(np.uint16)
        pair = {"generation": (mask, bright), "semantic-segmentation": (bright, mask)}.get(task, (bright, 2 * bright))
        names = (f"s{index}_IM.tiff", f"s{index}_GT.tiff") if paired else (f"A/a{index}.tiff", f"B/b{index}x.tiff")
        for name, image in zip(names, pair, strict=True):
            tifffile.imwrite(folder / name, image)
    if paired:
        (folder / "A").rmdir()
        (folder / "B").rmdir()
    return folder


def test_there_are_presets_for_each_use() -> None:
    names = {preset.name for preset in PRESETS}
    assert {"staining-2d", "label-free-3d-pix2pix", "label-free-3d-pix2pix-from-fcn"} <= names
    for dims in ("2d", "3d"):
        assert {f"synthetic-{dims}", f"synthetic-unpaired-{dims}", f"segmentation-unpaired-{dims}"} <= names


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_preset_trains_predicts_and_evaluates(preset, tmp_path: Path, one_thread) -> None:
    dims = 3 if "3d" in preset.name else 2
    paired = preset.settings["dataset"]["name"] == "paired"
    data = write_images(tmp_path / "data", dims, preset.task, paired=paired)
    sets = ["trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1", "trainer.loggers=['csv']"]
    sets += ["dataset.patches_per_image=2", "dataset.batch_size=2", "dataset.cache=memory", "discriminator.features=4"]
    sets += ["network.features=4" if "from-fcn" not in preset.name else "network.features=[4,4,4,8,8,4]"]
    sets += ["dataset.patch_size=32" if dims == 2 else "dataset.patch_size=[8,32,32]"]
    settings = resolve_settings(
        REGISTRY, preset=preset.name, config=None, flags={"dataset": {"path": str(data)}}, sets=sets
    )
    run_dir = run_training(REGISTRY, settings, tmp_path / "runs")
    assert len(list((run_dir / "previews").glob("*.png"))) == 1
    images, targets = (data, data) if paired else (data / "A", data / "B")
    assert run_prediction(REGISTRY, run_dir, str(images), tmp_path / "out") == []
    results = sorted((tmp_path / "out").glob("*.tiff"))
    assert len(results) == 3
    found, target = (
        tifffile.imread(results[0]),
        tifffile.imread(next(iter(sorted(targets.glob("*GT*") if paired else targets.glob("*"))))),
    )
    assert found.shape == SHAPES[dims]
    masks = preset.task == "semantic-segmentation"
    assert found.dtype == (np.uint8 if masks else target.dtype)
    if paired:
        figures = run_evaluation(
            REGISTRY, tmp_path / "out", str(targets), ["dice" if masks else "psnr"], tmp_path / "report"
        )
        assert len(figures.cases) == 3 and not figures.errors
    else:
        assert not masks or set(np.unique(found)) <= {0, 1}
