"""Two processes that train together (gloo, on the processor) beside one with batches twice as large."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from im2im_core.registry import Registry

REGISTRY = Registry.discover()
PLUGINS = {info.name for info in REGISTRY.plugins if info.state == "active"}
pytestmark = pytest.mark.skipif(not {"fcn", "io"} <= PLUGINS, reason="im2im-fcn and im2im-io are not installed")
# Instance norm and a mean over pixels: what a batch gives is the mean of what its halves give.
SETTINGS = [
    "network.channels=[4, 8]",
    "network.strides=[2]",
    "network.norm=instance",
    "dataset.patch_size=32",
    "dataset.patches_per_image=4",
    "dataset.val_fraction=0.3",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "optimizer.name=sgd",
    "optimizer.lr=0.05",
]


def train(folder: Path, out: str, *more: str) -> Path:
    assignments = [part for setting in (*SETTINGS, *more) for part in ("--set", setting)]
    command = ["train", "--model", "fcn", "--task", "restoration", "--network", "unet", "--loss", "mse"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("im2im")), *command, "--data", "data", "--out", out, *assignments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("bundle: ") == 1, "one process speaks and writes"
    (run,) = (folder / out).iterdir()
    return run


def curve(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open(newline="") as stream:
        return [float(row[name]) for row in csv.DictReader(stream) if row[name]]


@pytest.mark.slow
def test_two_processes_learn_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    import tifffile

    (tmp_path / "data").mkdir()
    for number in range(6):
        rng = np.random.default_rng(number)
        clean = gaussian_filter(rng.normal(size=(64, 64)), 2) * 10
        tifffile.imwrite(tmp_path / "data" / f"n{number}_GT.tiff", clean.astype(np.float32))
        tifffile.imwrite(
            tmp_path / "data" / f"n{number}_IM.tiff", (clean + rng.normal(size=(64, 64))).astype(np.float32)
        )
    one = train(tmp_path, "one", "dataset.batch_size=4")
    two = train(tmp_path, "two", "dataset.batch_size=2", "trainer.devices=2", "trainer.strategy=ddp")
    for name in ("train_loss", "val_loss", "val_psnr"):
        assert len(curve(one, name)) == 3
        assert curve(two, name) == pytest.approx(curve(one, name), rel=1e-3), name
    assert curve(one, "val_loss")[-1] < 0.8 * curve(one, "val_loss")[0]
    for run in (one, two):
        assert (run / "report.html").is_file()
        assert json.loads((run / "bundle" / "bundle.json").read_text())["training"]["epochs"] == 3
