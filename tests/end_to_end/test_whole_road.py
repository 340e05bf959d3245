"""Training, prediction and evaluation by the modules behind the commands, on generated nuclei and on real ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core.bundle import load_model, open_bundle
from im2im_core.cli.evaluate import run_evaluation
from im2im_core.cli.predict import run_prediction
from im2im_core.cli.report import report
from im2im_core.config import resolve
from im2im_core.demo_images import write_demo
from im2im_core.execution import Execution
from im2im_core.formats import image_loader, image_writer
from im2im_core.registry import Registry
from im2im_core.training import FinishedRun, train

CPU = Execution(device="cpu")
REGISTRY = Registry.discover()
PLUGINS = {info.name for info in REGISTRY.plugins if info.state == "active"}
pytestmark = pytest.mark.skipif(
    not {"embedseg", "io"} <= PLUGINS, reason="im2im-embedseg and im2im-io are not installed"
)
REAL = next(
    (
        parent / "shared" / "data" / "nuclei2d"
        for parent in Path(__file__).resolve().parents
        if (parent / "shared" / "data" / "nuclei2d").is_dir()
    ),
    None,
)


def tiny_run(data: Path, run_dir: Path, **more: Any) -> FinishedRun:
    """A network of a few thousand weights, two epochs."""
    settings = {
        "dataset.path": data,
        "dataset.patch_size": 64,
        "dataset.patches_per_image": 2,
        "dataset.batch_size": 4,
        "dataset.val_max_size": 128,
        "network.channels": "[4, 8]",
        "trainer.max_epochs": 2,
        "trainer.check_val_every_n_epoch": 1,
        "trainer.accelerator": "cpu",
        "trainer.progress": "false",
        **more,
    }
    config = resolve(REGISTRY, preset="nuclei-2d", assignments=[f"{key}={value}" for key, value in settings.items()])
    return train(REGISTRY, config, run_dir)


def tiny_bundle(folder: Path) -> Path:
    """A trained bundle for tests of what is done with one."""
    write_demo(folder / "data", 4, 1, 0, image_writer(REGISTRY, Path("image.tiff")).write, size=128)
    return tiny_run(folder / "data" / "train", folder / "run").bundle


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Training and test images in the pair layout."""
    folder = tmp_path_factory.mktemp("nuclei")
    writer = image_writer(REGISTRY, Path("image.tiff"))
    write_demo(folder, 6, 2, 0, writer.write, size=128)
    return folder / "train", folder / "test"


def test_one_seed_gives_one_set_of_weights(generated: tuple[Path, Path], tmp_path: Path) -> None:
    """Equal for equal seeds, and different for another: the seed is what decides."""
    sums = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        bundle = tiny_run(generated[0], tmp_path / name, seed=seed).bundle
        sums.append(json.loads((bundle / "bundle.json").read_text())["weights_sha256"])
    assert sums[0] == sums[1]
    assert sums[0] != sums[2]


def test_from_images_to_report(generated: tuple[Path, Path], tmp_path: Path) -> None:
    """All that a run leaves, labels on the grid of their images, and figures for each of them."""
    finished = tiny_run(generated[0], tmp_path / "run")
    for name in ("config.yaml", "environment.json", "metrics.csv", "checkpoints/last.ckpt", "bundle/bundle.json"):
        assert (finished.run_dir / name).is_file(), name
    assert "val_ap@0.50" in (finished.run_dir / "metrics.csv").read_text()
    bundle = open_bundle(finished.run_dir, REGISTRY)
    stored = [np.load(bundle.path / f"sample_{part}.npy") for part in ("input", "output")]
    import torch

    with torch.inference_mode():
        again = load_model(bundle)(torch.from_numpy(stored[0])[None])[0].numpy()
    np.testing.assert_allclose(again, stored[1], rtol=1e-4, atol=1e-5)

    assert not run_prediction(REGISTRY, finished.run_dir, str(generated[1]), tmp_path / "labels", execution=CPU)
    load = image_loader(REGISTRY)
    names = sorted(path.name for path in (tmp_path / "labels").iterdir() if path.is_file())
    assert names == sorted(path.name.replace("_IM", "") for path in generated[1].glob("*_IM.tiff"))
    labels = load(tmp_path / "labels" / names[0])
    table = (tmp_path / "labels" / "objects" / names[0]).with_suffix(".csv").read_text().splitlines()
    assert len(table) == 1 + np.count_nonzero(np.unique(np.asarray(labels.data)))
    assert labels.axes == "YX"
    assert labels.dtype == np.uint16
    assert labels.shape == (128, 128)
    result = run_evaluation(REGISTRY, tmp_path / "labels", str(generated[1]), [], tmp_path / "evaluation")
    assert len(result.cases) == 2
    assert 0 <= result.mean["ap@0.50"] <= 1
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert "Otsu" in page
    assert "<script" not in page
    (tmp_path / "evaluation" / "report.html").unlink()
    report(tmp_path / "evaluation", run=finished.run_dir)
    assert "Otsu" in (tmp_path / "evaluation" / "report.html").read_text()


def test_training_from_patches_of_files(generated: tuple[Path, Path], tmp_path: Path) -> None:
    """No image is kept, and the bundle is one like any other."""
    run = tiny_run(generated[0], tmp_path / "run", **{"dataset.cache": "lazy"})
    assert not (tmp_path / "run" / "cache").exists()
    assert not run_prediction(REGISTRY, run.bundle, str(generated[1]), tmp_path / "out", execution=CPU)
    assert len(list((tmp_path / "out").glob("*.tiff"))) == 2


def test_a_large_image_goes_from_file_to_file_in_blocks(
    generated: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files, and in them the same objects, as of the image at once."""
    import im2im_core.prediction as prediction

    bundle = tiny_run(generated[0], tmp_path / "run").bundle
    load = image_loader(REGISTRY)

    def predicted(folder: str, suffix: str) -> dict[str, Any]:
        out = tmp_path / folder
        assert not run_prediction(REGISTRY, bundle, str(generated[1]), out, suffix=suffix, execution=CPU, raw=True)
        assert sorted(path.name for path in out.iterdir() if not path.name.startswith("nuclei")) == [
            ".im2im",
            "network-output",
            "objects",
        ]
        with (out / "objects" / "nuclei_000.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        labels, raw = load(out / f"nuclei_000{suffix}"), load(out / "network-output" / f"nuclei_000{suffix}")
        assert raw.channel_names == ("offset-x", "offset-y", "sigma-x", "sigma-y", "seed")
        return {"labels": np.asarray(labels.data), "raw": np.asarray(raw.data), "rows": rows}

    whole = predicted("whole", ".tiff")
    monkeypatch.setattr(prediction, "WHOLE_PIXELS", 64 * 64)
    monkeypatch.setitem(prediction.BLOCK, 2, (48, 64))
    for suffix in (".tiff", ".ome.zarr"):
        blocks = predicted(f"blocks{suffix}", suffix)
        np.testing.assert_allclose(blocks["raw"], whole["raw"], atol=1e-4)
        np.testing.assert_array_equal(blocks["labels"] > 0, whole["labels"] > 0)
        assert len(blocks["rows"]) == len(whole["rows"]) == blocks["labels"].max() > 3
        for row in blocks["rows"]:
            inside = blocks["labels"] == int(row["label"])
            assert int(row["pixels"]) == inside.sum() > 0
            (twin,) = np.unique(whole["labels"][inside])
            assert (whole["labels"] == twin).sum() == inside.sum()
            assert float(row["score"]) == pytest.approx(float(whole["rows"][twin - 1]["score"]), abs=1e-4)


@pytest.mark.skipif(REAL is None, reason="the shared images are not part of the repository")
def test_real_nuclei_are_learned(tmp_path: Path) -> None:
    """A few steps on real images lower the loss; how far it can go is measured, not tested."""
    assert REAL is not None
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted((REAL / "train").glob("*_IM.tiff"))[:12]:
        for role in ("IM", "GT", "CM"):
            source = path.with_name(path.name.replace("_IM", f"_{role}"))
            if source.exists():
                (few / source.name).write_bytes(source.read_bytes())
    finished = tiny_run(few, tmp_path / "run", **{"trainer.max_epochs": 6})
    with (finished.run_dir / "metrics.csv").open(newline="") as stream:
        losses = [float(row["train_loss"]) for row in csv.DictReader(stream) if row["train_loss"]]
    assert len(losses) == 6
    assert losses[-1] < 0.9 * losses[0]
