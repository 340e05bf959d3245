"""`im2im predict --uncertainty` with a trained model of each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from im2im_core.cli import app
from im2im_core.cli.train import resolve_settings, run_training
from im2im_core.registry import Registry

REGISTRY = Registry.discover()
SETS = ["trainer.max_epochs=1", "trainer.loggers=['csv']", "dataset.patches_per_image=2", "dataset.batch_size=2"]
SETS += ["network.channels=[4,8]", "network.strides=[2]", "dataset.patch_size=32", "dataset.cache=memory"]
MAPS = {"semantic-segmentation": {"mean", "variance", "entropy", "mutual-information"}}
SHAPE = (48, 44)


def trained(folder: Path, model: str, task: str, *sets: str) -> Path:
    flags = {"model": {"name": model, "task": task}, "dataset": {"path": str(folder / "data")}}
    settings = resolve_settings(REGISTRY, preset=None, config=None, flags=flags, sets=[*SETS, *sets])
    return run_training(REGISTRY, settings, folder / f"{model}-{task}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of images and of classes, on bright squares in noise."""
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    (folder / "data").mkdir()
    for index in range(3):
        image = random.normal(100, 10, SHAPE)
        for y, x in random.integers(0, 30, (4, 2)):
            image[y : y + 8, x : x + 8] += 200
        tifffile.imwrite(folder / "data" / f"s{index}_IM.tiff", image.clip(0).astype(np.uint16))
        tifffile.imwrite(folder / "data" / f"s{index}_GT.tiff", (image > 180).astype(np.uint8))
    return {
        "data": folder / "data",
        "classes": trained(folder, "probabilistic-unet", "semantic-segmentation", "network.dropout=0.3"),
        "image": trained(folder, "fcn", "translation", "network.dropout=0.3"),
        "other": trained(folder, "fcn", "translation", "seed=1", "network.dropout=0.3"),
    }


def predict(runs: dict[str, Path], out: Path, kind: str, *options: str) -> tuple[int, str]:
    arguments = ["predict", str(runs[kind]), str(runs["data"]), str(out), "--device", "cpu", *options]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, f"{result.output}{result.stderr}{result.exception or ''}"


@pytest.mark.parametrize("source", ["test-time-augmentation", "perturbation", "dropout", "samples"])
def test_classes_have_maps_of_every_source(runs: dict[str, Path], source: str, tmp_path: Path, one_thread) -> None:
    code, output = predict(runs, tmp_path, "classes", "--uncertainty", source, "--samples", "3")
    assert code == 0, output
    maps = {path.stem.split("_")[1]: tifffile.imread(path) for path in (tmp_path / "uncertainty").glob("s0_*.tiff")}
    assert set(maps) == MAPS["semantic-segmentation"]
    assert all(values.shape[-2:] == SHAPE and values.dtype == np.float32 for values in maps.values())
    assert maps["variance"].max() > 0
    assert (maps["mutual-information"] <= maps["entropy"] + 1e-6).all()
    assert maps["entropy"].max() <= np.log(2) + 1e-6
    foreground = maps["mean"] if maps["mean"].ndim == 2 else maps["mean"][-1]
    result = tifffile.imread(tmp_path / "s0.tiff")
    np.testing.assert_array_equal(result, (foreground > 0.5).astype(result.dtype))


def test_an_ensemble_of_images_and_its_mean_alone(runs: dict[str, Path], tmp_path: Path, one_thread) -> None:
    code, output = predict(runs, tmp_path / "a", "image", "--ensemble", str(runs["other"]), "--uncertainty", "ensemble")
    assert code == 0, output
    names = {path.name for path in (tmp_path / "a" / "uncertainty").glob("s1_*")}
    assert names == {"s1_mean.tiff", "s1_variance.tiff"}
    for kind in ("image", "other"):
        assert predict(runs, tmp_path / kind, kind)[0] == 0
    assert predict(runs, tmp_path / "b", "image", "--ensemble", str(runs["other"]))[0] == 0
    assert not (tmp_path / "b" / "uncertainty").exists()
    mean = tifffile.imread(tmp_path / "a" / "uncertainty" / "s1_mean.tiff")
    result, again = (tifffile.imread(tmp_path / folder / "s1.tiff") for folder in "ab")
    np.testing.assert_array_equal(result, again)
    np.testing.assert_array_equal(result, mean.round().clip(0, 255))
    alone = [tifffile.imread(tmp_path / kind / "s1.tiff").astype(float) for kind in ("image", "other")]
    assert np.abs(mean - np.mean(alone, axis=0)).max() <= 0.5 + 1e-3


def test_random_sources_give_the_same_again(runs: dict[str, Path], tmp_path: Path, one_thread) -> None:
    for out in "ab":
        options = ("--uncertainty", "dropout", "--samples", "2", "--suffix", ".png")
        assert predict(runs, tmp_path / out, "image", *options)[0] == 0
    first, second = (tifffile.imread(tmp_path / out / "uncertainty" / "s0_variance.tiff") for out in "ab")
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--uncertainty", "samples"), 1, "draws no samples"),
        (("--uncertainty", "guess"), 2, "'guess' is none of"),
        (("--uncertainty", "ensemble"), 2, "more than one bundle"),
        (("--uncertainty", "test-time-augmentation", "--samples", "9"), 2, "not '9'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    runs: dict[str, Path], tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    found, output = predict(runs, tmp_path / "out", "image", *options)
    assert found == code
    assert message in " ".join(output.replace("│", " ").split())
    assert not list(tmp_path.glob("out/**/*.tiff"))
