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
PRESETS = [entry.component for entry in REGISTRY.components("preset") if entry.plugin == "fcn"]
SHAPES = {2: (48, 44), 3: (9, 40, 36)}


def write_pairs(folder: Path, task: str, dims: int, count: int = 3) -> Path:
    """Blobs, and what a model of that task is to make of them."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for index in range(count):
        image = random.normal(100, 10, SHAPES[dims])
        for corner in random.integers(0, 30, (3 + index, dims)):
            image[tuple(slice(c, c + 8) for c in corner)] += 200
        target = {"semantic-segmentation": image > 180, "regression": np.full(image.shape, 10.0 * index)}
        tifffile.imwrite(folder / f"s{index}_IM.tiff", image.clip(0).astype(np.uint16))
        tifffile.imwrite(folder / f"s{index}_GT.tiff", target.get(task, image * 2).astype(np.uint16))
    return folder


def test_there_are_presets_for_each_task_and_way() -> None:
    names = {preset.name for preset in PRESETS}
    for task in ("label-free-2d", "label-free-3d", "semantic-2d", "semantic-3d", "denoise-3d", "modality-3d"):
        assert {task, f"{task}-nnunet", f"{task}-attention", f"{task}-probabilistic"} <= names
    assert "regression-2d" in names


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_preset_trains_predicts_and_evaluates(preset, tmp_path: Path, one_thread) -> None:
    dims = 3 if "3d" in preset.name else 2
    data = write_pairs(tmp_path / "data", preset.task, dims)
    sets = ["trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1", "trainer.loggers=['csv']"]
    sets += ["dataset.patches_per_image=2", "dataset.batch_size=2", "dataset.cache=memory"]
    if "nnunet" in preset.name:
        sets += ["network.memory_gb=0.02", "network.filters=4", "network.most_filters=16"]
    else:
        smooth = preset.settings["network"]["name"] == "basic-unet"
        sets += ["network.features=[4,4,4,8,8,4]"] if smooth else ["network.channels=[4,8,16]", "network.strides=[2,2]"]
        sets += ["dataset.patch_size=32" if dims == 2 else "dataset.patch_size=[8,32,32]"]
    settings = resolve_settings(
        REGISTRY, preset=preset.name, config=None, flags={"dataset": {"path": str(data)}}, sets=sets
    )
    run_dir = run_training(REGISTRY, settings, tmp_path / "runs")
    assert run_prediction(REGISTRY, run_dir, str(data), tmp_path / "out") == []
    if preset.task == "regression":
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["values.csv"]
    else:
        assert tifffile.imread(tmp_path / "out" / "s0.tiff").shape == SHAPES[dims]
    metric = {"semantic-segmentation": "dice", "regression": "mae"}.get(preset.task, "psnr")
    figures = run_evaluation(REGISTRY, tmp_path / "out", str(data), [metric], tmp_path / "report")
    assert len(figures.cases) == 3 and not figures.errors
    assert np.isfinite(figures.mean[metric])
