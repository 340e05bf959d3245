"""Unpaired data on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from im2im_core.cli import app


@pytest.mark.parametrize("more", [False, True])
def test_data_outlive_the_choice_of_another_dataset(more):
    pytest.importorskip("im2im_fcn", reason="needs a plug-in with a model that takes unpaired data")
    command = ["train", "--model", "fcn", "--data", "a 'b': c", "--set", "dataset.name=unpaired", "--dry-run"]
    done = CliRunner().invoke(app, [*command, *(["--set", "dataset.path='other'"] if more else [])])
    assert done.exit_code == 0, done.output
    dataset = yaml.safe_load(done.output)["dataset"]
    assert (dataset["name"], dataset["path"]) == ("unpaired", "other" if more else "a 'b': c")


@pytest.mark.slow
def test_a_training_says_how_many_there_are_of_both(tmp_path: Path, monkeypatch):
    pytest.importorskip("im2im_fcn", reason="needs a plug-in with a model that takes unpaired data")
    pytest.importorskip("im2im_io", reason="needs a plug-in that reads images")
    monkeypatch.chdir(tmp_path)
    for side, count in (("A", 3), ("B", 4)):
        (tmp_path / "d" / side).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number).random((40 + count, 40)).astype(np.float32)
            np.save(tmp_path / "d" / side / f"{side}{number}.npy", pixels)
    sets = ["dataset.name=unpaired", "dataset.patch_size=32", "trainer.max_epochs=1", "network.name=unet"]
    sets += ["trainer.accelerator=cpu"]
    done = CliRunner().invoke(app, ["train", "--model", "fcn", "--data", "d", *(w for s in sets for w in ("--set", s))])
    assert done.exit_code == 0, f"{done.output}\n{done.exception}"
    assert "2 images and 3 targets that are no pairs, 2D, 1 -> 1 channel(s); fcn" in done.output
    assert len(list(tmp_path.glob("runs/*/bundle/bundle.json"))) == 1
