"""From generated images to labels of others, through the registry."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from im2im_core.bundle import open_bundle
from im2im_core.cli.evaluate import run_evaluation
from im2im_core.cli.predict import run_prediction
from im2im_core.config import resolve
from im2im_core.demo_images import write_demo
from im2im_core.execution import Execution
from im2im_core.formats import image_writer
from im2im_core.registry import Registry
from im2im_core.training import train

# Otsu + watershed comes to 0.742 on these three images.
LEAST_AP = 0.75


def registry() -> Registry:
    """What is installed, and the example where it is not."""
    installed = [point for point in entry_points(group="im2im") if point.name != "stars"]
    return Registry.discover([*installed, EntryPoint("stars", "im2im_stars.plugin", "im2im")], environment={})


def test_it_is_active_and_comes_with_a_preset() -> None:
    found = registry()
    assert [(info.state, info.reason) for info in found.plugins if info.name == "stars"] == [("active", "")]
    config = resolve(found, preset="stars-2d", flags={"dataset": {"path": "x"}})
    assert [config.model.name, config.network.name, config.loss.name] == ["star-convex", "star-unet", "star-distances"]


@pytest.mark.slow
def test_it_learns_to_find_nuclei(tmp_path: Path) -> None:
    found = registry()
    if "io" not in {info.name for info in found.plugins if info.state == "active"}:
        pytest.skip("im2im-io is not installed")
    write_demo(tmp_path, 12, 3, 0, image_writer(found, Path("image.tiff")).write, size=192)
    settings = {
        "dataset.path": tmp_path / "train",
        "network.channels": "[16, 24, 32, 48]",
        "dataset.patch_size": 96,
        "trainer.max_epochs": 48,
        "trainer.check_val_every_n_epoch": 48,
        "trainer.accelerator": "cpu",
        "trainer.progress": "false",
    }
    config = resolve(found, preset="stars-2d", assignments=[f"{key}={value}" for key, value in settings.items()])
    run = train(found, config, tmp_path / "run")
    assert open_bundle(run.bundle, found).manifest.task == "instance-segmentation"
    cpu = Execution(device="cpu")
    assert not run_prediction(found, run.run_dir, str(tmp_path / "test"), tmp_path / "labels", execution=cpu)
    result = run_evaluation(found, tmp_path / "labels", str(tmp_path / "test"), [], tmp_path / "evaluation")
    assert len(result.cases) == 3
    assert result.mean["ap@0.50"] > LEAST_AP
