"""What is null in the settings of EmbedSeg gets its number from the data, and what is not null is kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tifffile import imwrite

from im2im_core import DataFacts, DataSurvey
from im2im_core.config import RunConfig, resolve
from im2im_core.formats import image_loader
from im2im_core.planning import inspect_data, plan_settings
from im2im_core.registry import Registry
from im2im_embedseg.config import EmbedSegConfig
from im2im_embedseg.coordinates import spacing
from im2im_embedseg.data_plan import foreground_weight, pixel_ratios
from im2im_embedseg.dataset_config import InstancesConfig

STEP = (2.0, 0.5, 0.5)
BALL, SPECK = 6.0, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stacks with balls that are round in micrometres, 6 pixels of X in radius, and one speck."""
    path = tmp_path_factory.mktemp("balls")
    z, y, x = np.ogrid[:12, :64, :64]
    labels = np.zeros((12, 64, 64), np.uint16)
    for number, (a, b) in enumerate([(16, 16), (16, 48), (48, 16), (48, 48)], start=1):
        labels[((z - 6) * 4) ** 2 + (y - a) ** 2 + (x - b) ** 2 <= BALL**2] = number
    labels[0, 0, :SPECK] = 9
    for name in "ab":
        for role, pixels in (("IM", (labels > 0).astype(np.uint8)), ("GT", labels)):
            imwrite(
                path / f"{name}_{role}.tiff",
                pixels,
                imagej=True,
                resolution=(1 / STEP[2], 1 / STEP[1]),
                metadata={"axes": "ZYX", "spacing": STEP[0], "unit": "um"},
            )
    return path


def planned(folder: Path, *assignments: str, **options: Any) -> RunConfig:
    """As a training plans it."""
    registry = Registry.discover()
    flags = {"model": "embedseg", "dataset": {"path": str(folder), "patch_size": [8, 32, 32]}}
    config = resolve(registry, flags=flags, assignments=assignments, **options)
    load = image_loader(registry, config.reader)
    return plan_settings(registry, config, inspect_data(registry, config), load)


def test_numbers_come_from_the_data(folder: Path) -> None:
    config = planned(folder).to_dict()
    assert config["model"]["extent"] == [4.0, 1.0, 1.0]  # a step of 2 micrometres beside steps of 0.5
    radius = config["model"]["initial_radius"]
    assert radius[1] == radius[2] == pytest.approx(BALL, rel=0.1)
    assert radius[0] == pytest.approx(radius[1] / 4, abs=1e-3)
    (step,) = config["postprocessing"]
    assert step["min_object_size"] == SPECK // 2
    assert 40 <= config["loss"]["foreground_weight"] <= 50  # balls of 1/50 of the image
    # What is recorded is planned no more.
    again = planned(folder, file=config)
    assert again.to_dict() == config


def test_what_is_set_is_kept(folder: Path) -> None:
    sets = (
        "model.extent=1.0",
        "model.initial_radius=5.0",
        "loss.foreground_weight=3",
        "postprocessing.0.min_object_size=7",
    )
    config = planned(folder, *sets).to_dict()
    assert config["model"]["extent"] == 1.0 and config["model"]["initial_radius"] == 5.0
    assert config["loss"]["foreground_weight"] == 3
    assert config["postprocessing"][0]["min_object_size"] == 7


def test_numbers_of_a_preset_are_kept_and_its_nulls_are_filled(folder: Path) -> None:
    config = planned(folder, "postprocessing.0.min_object_size=null", preset="nuclei-2d").to_dict()
    (step,) = config["postprocessing"]
    assert step["seed_threshold"] == 0.8 and step["min_object_size"] == SPECK // 2
    assert config["model"]["initial_radius"] == 8.0 and config["loss"]["foreground_weight"] == 10.0
    assert config["model"]["extent"] == [4.0, 1.0, 1.0]


def test_other_steps_of_a_list_are_kept(folder: Path) -> None:
    steps = [{"name": "embedseg-clustering", "seed_threshold": 0.7}, {"name": "embedseg-clustering"}]
    steps[1]["min_object_size"] = 9
    config = planned(folder, file={"postprocessing": steps}).to_dict()
    assert [step["min_object_size"] for step in config["postprocessing"]] == [SPECK // 2, 9]
    assert config["postprocessing"][0]["seed_threshold"] == 0.7


def test_without_objects_and_pixel_size_general_numbers_hold(tmp_path: Path) -> None:
    for name in "ab":
        imwrite(tmp_path / f"{name}_IM.tiff", np.ones((40, 40), np.uint8))
        imwrite(tmp_path / f"{name}_GT.tiff", np.zeros((40, 40), np.uint16))
    config = planned(tmp_path, "dataset.patch_size=32").to_dict()
    assert config["model"]["extent"] == 1.0 and config["model"]["initial_radius"] == 8.0
    assert config["loss"]["foreground_weight"] == 10.0
    assert config["postprocessing"][0]["min_object_size"] == 36


@pytest.mark.parametrize("grid", [1024, (32, 512, 256)])
def test_steps_are_proportional_to_the_pixel_size(grid: Any) -> None:
    from im2im_embedseg.plugin import im2im_models

    (model,) = im2im_models()
    registry = Registry.discover()
    value = grid if isinstance(grid, int) else list(grid)
    run = resolve(registry, flags={"model": {"name": "embedseg", "grid": value}, "dataset": {"path": "."}})
    facts = DataFacts(
        pairs=1, spatial_dims=3, in_channels=1, target_channels=1, pixel_size={"Z": 1.2, "Y": 0.4, "X": 0.3}
    )
    assert model.plan is not None
    found = model.plan(run, facts, lambda: DataSurvey(shapes=((4, 4, 4),)))
    config = EmbedSegConfig(grid=grid, extent=tuple(found["model"]["extent"]))
    steps = spacing(config.grid_per_axis(3), config.extent_per_axis(3))
    assert np.array(steps) / steps[-1] == pytest.approx([4, 4 / 3, 1], rel=1e-3)


def test_pixel_size_must_be_known_for_all_axes() -> None:
    assert pixel_ratios({"Z": 2.0, "Y": 0.5, "X": 0.5}, 3) == (4, 1, 1)
    assert pixel_ratios({"Z": 2.0, "Y": 0.5, "X": 0.5}, 2) == (1, 1)
    assert pixel_ratios({"Y": 0.5, "X": 0.5}, 3) == pixel_ratios({"Z": math.inf, "Y": 1, "X": 1}, 3) == (1, 1, 1)


def test_patches_around_objects_hold_more_foreground() -> None:
    found = DataSurvey(shapes=((100, 100),), foreground=0.1, object_sizes=(100,) * 10)
    anywhere = foreground_weight(None, found, 2)
    crops = foreground_weight(InstancesConfig(path=".", mode="instance-crops", patch_size=20), found, 2)
    fly = foreground_weight(InstancesConfig(path=".", object_fraction=0.5, patch_size=20), found, 2)
    assert anywhere == 9.0  # 90 % beside 10 %
    assert crops == pytest.approx(0.675 / 0.325, abs=0.01)  # a quarter is the object, of the rest a tenth is objects
    assert crops < fly < anywhere
    nearly_empty = DataSurvey(shapes=((9, 9),), foreground=1e-6)
    assert foreground_weight(None, nearly_empty, 2) == 50
