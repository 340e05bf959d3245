"""Training, prediction and evaluation from a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core import BundleError, ConfigError, DataError, Image, evaluate, load_bundle, predict, train
from im2im_core.demo_images import make_nuclei, write_demo
from im2im_core.formats import image_writer
from im2im_core.registry import Registry

REGISTRY = Registry.discover()
PLUGINS = {info.name for info in REGISTRY.plugins if info.state == "active"}
pytestmark = pytest.mark.skipif(
    not {"embedseg", "io"} <= PLUGINS, reason="im2im-embedseg and im2im-io are not installed"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    write_demo(folder / "data", 4, 1, 0, image_writer(REGISTRY, Path("image.tiff")).write, size=96)
    settings = {
        "dataset.patch_size": 64,
        "dataset.patches_per_image": 1,
        "network.channels": [4, 8],
        "trainer.max_epochs": 1,
        "trainer.accelerator": "cpu",
        "trainer.progress": False,
    }
    return train(folder / "data" / "train", preset="nuclei-2d", out=folder / "runs", settings=settings)


def test_the_data_are_for_whichever_data_set_is_chosen(tmp_path: Path) -> None:
    """The folder is kept where a setting names another data set; here it holds nothing, and that is said of it."""
    with pytest.raises(DataError, match="empty"):
        (tmp_path / "empty").mkdir()
        train(tmp_path / "empty", preset="nuclei-2d", out=tmp_path, settings={"dataset.name": "instances"})


@pytest.fixture
def picture() -> Any:
    return make_nuclei(np.random.default_rng(5), (80, 72), density=12)[0]


def test_arrays_images_and_files(run: Any, picture: Any, tmp_path: Path) -> None:
    model = load_bundle(run.bundle, device="cpu")
    assert model.manifest.task == "instance-segmentation"
    assert run.result.epochs == 1
    labels = model.predict(picture)
    assert isinstance(labels, np.ndarray)
    assert labels.shape == picture.shape
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(predict(run.bundle, picture, device="cpu"), labels)
    np.testing.assert_array_equal(model.predict(picture[None]), labels)
    np.testing.assert_array_equal(model.predict(picture.T, axes="XY"), labels)
    given = Image(picture, "YX", {"Y": 0.5, "X": 0.5})
    result = model.predict(given)
    assert isinstance(result, Image)
    assert (result.axes, result.pixel_size) == ("YX", {"Y": 0.5, "X": 0.5})
    image_writer(REGISTRY, tmp_path / "a.tiff").write(tmp_path / "a.tiff", given)
    from_file = model.predict(tmp_path / "a.tiff")
    assert from_file.pixel_size == pytest.approx({"Y": 0.5, "X": 0.5})
    np.testing.assert_array_equal(from_file.compute(), labels)


def test_mistakes_are_errors_with_hints(run: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no image for a 2D model"):
        load_bundle(run.run_dir, device="cpu").predict(np.zeros((2, 3, 4, 5)))
    with pytest.raises(ConfigError, match="max_epoch"):
        train(tmp_path, preset="nuclei-2d", settings={"trainer.max_epoch": 1})
    with pytest.raises(DataError, match="1 predictions for 2 targets"):
        evaluate([np.zeros((4, 4), int)], [np.zeros((4, 4), int)] * 2, ["average-precision"])


def test_figures_of_arrays() -> None:
    truth = np.zeros((20, 20), np.uint16)
    truth[2:8, 2:8], truth[10:18, 10:18] = 1, 2
    half = np.where(truth == 1, 1, 0)
    found = evaluate([truth, half], [truth, truth], ["average-precision", "dice"])
    assert found["ap@0.50"] == pytest.approx((1 + 0.5) / 2)
    assert 0 < found["dice"] < 1


def test_the_package_alone_loads_no_torch() -> None:
    code = "import sys, im2im_core; im2im_core.Image; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
