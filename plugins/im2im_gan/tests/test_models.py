"""Training of both models: steps, passes, resuming, start points, directions."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from im2im_core import BundleError, ConfigError
from im2im_core.bundle import open_bundle
from im2im_core.cli.predict import run_prediction
from im2im_core.cli.train import resolve_settings, run_training
from im2im_core.direction import in_direction
from im2im_core.registry import Registry
from im2im_gan.alternating import Alternating
from im2im_gan.cyclegan import CycleGan
from im2im_gan.networks.resnet_generator import ResnetGenerator
from im2im_gan.pix2pix import Pix2Pix

REGISTRY = Registry.discover()
QUICK = ["network.features=4", "network.residual_blocks=1", "discriminator.features=4", "discriminator.layers=2"]
QUICK += ["dataset.patch_size=32", "dataset.patches_per_image=2", "dataset.cache=memory", "trainer.loggers=['csv']"]
DATASET = {"pix2pix": "paired", "cyclegan": "unpaired"}


def write(folder: Path, *, channels: int = 1, target_channels: int = 1, count: int = 4) -> Path:
    """Bright squares, and the same dark, in other units."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = random.normal(100, 10, (channels, 40, 44))
        for y, x in random.integers(0, 30, (4, 2)):
            image[:, y : y + 8, x : x + 8] += 200
        target = 4000 - 5 * image.mean(0, keepdims=True).repeat(target_channels, 0)
        axes = {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}
        tifffile.imwrite(folder / f"s{index}_IM.ome.tiff", image.clip(0, 255).astype(np.uint8), ome=True, **axes)
        tifffile.imwrite(folder / f"s{index}_GT.ome.tiff", target.astype(np.uint16), ome=True, **axes)
    return folder


def settings(model: str, data: Path, *sets: str, **more: Any) -> Any:
    flags = {"model": {"name": model}, "dataset": {"name": DATASET[model], "path": str(data)}}
    return resolve_settings(REGISTRY, preset=None, config=None, flags=flags, sets=[*QUICK, *sets], **more)


def train(model: str, data: Path, out: Path, *sets: str, **more: Any) -> Path:
    return run_training(REGISTRY, settings(model, data, "trainer.max_epochs=1", *sets), out, **more)


def figures(run: Path, *names: str) -> list[dict[str, float]]:
    rows = csv.DictReader((run / "metrics.csv").open(newline=""))
    return [{name: float(row[name]) for name in names} for row in rows if row[names[0]]]


@pytest.mark.parametrize(("model", "most"), [("pix2pix", 1), ("cyclegan", 6)])
def test_no_generator_is_asked_twice(
    model: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread
) -> None:
    passes = {"train": 0, "steps": 0}
    forward, step = ResnetGenerator.forward, {"pix2pix": Pix2Pix, "cyclegan": CycleGan}[model].training_step

    def counted(self: Any, image: torch.Tensor) -> torch.Tensor:
        passes["train"] += self.training
        return forward(self, image)

    def stepped(self: Any, batch: Any, batch_idx: int) -> torch.Tensor:
        passes["steps"] += 1
        return step(self, batch, batch_idx)

    monkeypatch.setattr(ResnetGenerator, "forward", counted)
    monkeypatch.setattr({"pix2pix": Pix2Pix, "cyclegan": CycleGan}[model], "training_step", stepped)
    run = train(model, write(tmp_path / "data"), tmp_path / "runs")
    assert passes["steps"] > 2
    assert passes["train"] == most * passes["steps"]
    assert json.loads((run / "bundle" / "bundle.json").read_text())["training"]["steps"] == passes["steps"]


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_validation_changes_nothing_but_figures(model: str, tmp_path: Path, one_thread) -> None:
    data = write(tmp_path / "data")
    states = []
    for every in (1, 10):
        run = train(
            model, data, tmp_path / str(every), "trainer.max_epochs=2", f"trainer.check_val_every_n_epoch={every}"
        )
        states.append(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_resuming_gives_the_losses_of_an_uninterrupted_run(model: str, tmp_path: Path, one_thread) -> None:
    data = write(tmp_path / "data")
    more = ["scheduler={name: step, step_size: 1, gamma: 0.5}", "trainer.accumulate_grad_batches=2"]
    more += ["trainer.gradient_clip_val=1.0"] + (["model.pool_size=3"] if model == "cyclegan" else [])
    whole = train(model, data, tmp_path / "whole", *more, "trainer.max_epochs=4")
    part = train(model, data, tmp_path / "part", *more, "trainer.max_epochs=2")
    again = resolve_settings(REGISTRY, preset=None, config=None, flags={}, sets=["trainer.max_epochs=4"], resume=part)
    run_training(REGISTRY, again, tmp_path / "part", resume=part)
    names = ("train_loss", "train_discriminator_loss")
    assert len(figures(whole, *names)) == 4
    assert figures(part, *names) == figures(whole, *names)
    ends = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, part)]
    assert all(torch.equal(ends[0]["state_dict"][key], ends[1]["state_dict"][key]) for key in ends[0]["state_dict"])
    assert len(ends[0]["optimizer_states"]) == 2
    rates = [group["lr"] for state in ends[1]["optimizer_states"] for group in state["param_groups"]]
    assert rates == pytest.approx([2e-4 / 16] * 2)


class Toy(Alternating):
    """One number for each side."""

    def __init__(self) -> None:
        super().__init__(optimizer=lambda p: torch.optim.SGD(p, lr=1.0), scheduler=None)
        self.one, self.other = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        for layer in (self.one, self.other):
            torch.nn.init.zeros_(layer.weight)

    def generators(self) -> list[torch.nn.Module]:
        return [self.one]

    def discriminators(self) -> list[torch.nn.Module]:
        return [self.other]

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.advance_discriminators(-3 * self.other(batch).sum(), batch_idx)
        loss = -2 * self.one(batch).sum()
        self.advance_generators(loss, batch_idx)
        return loss.detach()


@pytest.mark.parametrize(
    ("accumulate", "clip", "moved"),
    [(1, None, (10.0, 15.0)), (2, None, (5.0, 7.5)), (5, None, (2.0, 3.0)), (1, 0.5, (2.5, 2.5)), (2, 0.5, (1.5, 1.5))],
)
def test_accumulation_and_clipping_act_on_both_sides(
    accumulate: int, clip: float | None, moved: tuple[float, float], one_thread
) -> None:
    """Five batches of ones; the last step takes what is left over."""
    import pytorch_lightning as pl

    model = Toy()
    model.configure_steps(accumulate_grad_batches=accumulate, gradient_clip_val=clip, gradient_clip_algorithm=None)
    batches = torch.utils.data.DataLoader(torch.ones(5, 1), batch_size=1)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", **quiet)
    trainer.fit(model, batches)
    assert (model.one.weight.item(), model.other.weight.item()) == pytest.approx(moved)
    assert trainer.global_step == -(-5 // accumulate)


def test_a_step_in_bfloat16(tmp_path: Path, one_thread) -> None:
    run = train("pix2pix", write(tmp_path / "data"), tmp_path / "runs", "trainer.precision=bf16-mixed")
    assert all(np.isfinite(value) for row in figures(run, "train_loss") for value in row.values())


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_channels_may_differ_and_results_are_as_the_targets(model: str, tmp_path: Path, one_thread) -> None:
    data = write(tmp_path / "data", channels=3, target_channels=2)
    run = train(model, data, tmp_path / "runs")
    assert run_prediction(REGISTRY, run, str(data), tmp_path / "out", suffix=".ome.tiff") == []
    result = tifffile.imread(tmp_path / "out" / "s0.ome.tiff")
    assert result.shape == (2, 40, 44) and result.dtype == np.uint16
    # An untrained network gives the middle of the targets' range rather than zeros.
    assert 2000 < np.median(result) < 4500
    keys = open_bundle(run, REGISTRY).manifest
    assert keys.in_channels == 3 and keys.target_channels == 2


def test_both_directions_of_one_bundle(tmp_path: Path, one_thread) -> None:
    data = write(tmp_path / "data", channels=3)
    run = train("cyclegan", data, tmp_path / "runs")
    targets = str(data / "*_GT.ome.tiff")
    [*failed] = run_prediction(REGISTRY, run, targets, tmp_path / "a")
    assert failed and "channel" in failed[0][1].message
    assert run_prediction(REGISTRY, run, targets, tmp_path / "b", direction="b-to-a", suffix=".ome.tiff") == []
    found = next((tmp_path / "b").glob("*.ome.tiff"))
    back = tifffile.imread(found)
    assert back.shape == (40, 44, 3) and back.dtype == np.uint8  # three channels of 8 bits are RGB
    bundle = open_bundle(run, REGISTRY)
    assert in_direction(bundle, "a-to-b") is bundle
    with pytest.raises(ConfigError, match="direction 'up'"):
        in_direction(bundle, "up")


def test_a_model_of_one_direction_has_no_other(tmp_path: Path, one_thread) -> None:
    run = train("pix2pix", write(tmp_path / "data"), tmp_path / "runs")
    with pytest.raises(ConfigError, match="'pix2pix' predicts one way only"):
        in_direction(open_bundle(run, REGISTRY), "b-to-a")


def test_a_generator_may_start_from_an_fcn(tmp_path: Path, one_thread) -> None:
    data = write(tmp_path / "data")
    network = ["network.name=unet", "network.channels=[4,8]", "network.strides=[2]"]
    flags = {"model": {"name": "fcn"}, "dataset": {"path": str(data)}}
    quick = [*QUICK[4:], *network, "trainer.max_epochs=1"]
    first = run_training(
        REGISTRY, resolve_settings(REGISTRY, preset=None, config=None, flags=flags, sets=quick), tmp_path / "fcn"
    )
    chosen = ["trainer.max_epochs=1", "optimizer.lr=0.0", *network]
    judged = [text for text in QUICK if not text.startswith("network")]
    flags = {"model": {"name": "pix2pix"}, "dataset": {"path": str(data)}}
    run = run_training(
        REGISTRY,
        resolve_settings(REGISTRY, preset=None, config=None, flags=flags, sets=[*judged, *chosen]),
        tmp_path / "gan",
        init_from=first,
    )
    from safetensors.torch import load_file

    before, after = (load_file(folder / "bundle" / "weights.safetensors") for folder in (first, run))
    assert set(before) == set(after)  # the discriminator is no part of a bundle
    weights = [key for key in before if key.endswith("conv.weight")]
    assert weights and all(torch.equal(before[key], after[key]) for key in weights)
    with pytest.raises(BundleError, match="do not fit the network"):
        train("pix2pix", data, tmp_path / "other", init_from=first)


@pytest.mark.parametrize(
    ("model", "sets", "message"),
    [
        ("cyclegan", ["model.identity_weight=5"], "neither can be left alone"),
        ("cyclegan", ["model.direction=b-to-a"], "training learns both ways"),
        ("pix2pix", ["model.target_range=[[0,1],[0,1]]"], "'2' ranges for 1 target channels"),
        ("pix2pix", ["model.task=semantic-segmentation", "model.classes=4"], "model.classes"),
        ("pix2pix", ["discriminator.name=judge"], "unknown discriminator 'judge'"),
        ("pix2pix", ["discriminator.layers=6"], "too small for 6 layers"),
    ],
)
def test_what_cannot_be_is_refused(model: str, sets: list[str], message: str, tmp_path: Path, one_thread) -> None:
    data = write(tmp_path / "data", channels=3 if model == "cyclegan" else 1)
    with pytest.raises(Exception, match=message) as caught:
        train(model, data, tmp_path / "runs", *sets)
    assert getattr(caught.value, "hint", "")


def test_a_model_without_discriminator_takes_none(tmp_path: Path) -> None:
    flags = {"model": {"name": "fcn"}, "discriminator": {"name": "patch"}, "dataset": {"path": "x"}}
    with pytest.raises(ConfigError, match="'fcn' is trained against none"):
        resolve_settings(REGISTRY, preset=None, config=None, flags=flags, sets=[])


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_a_training_stopped_within_an_epoch_ends_with_the_same_weights(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread
) -> None:
    data = write(tmp_path / "data")
    more = ["trainer.max_epochs=3", "dataset.patches_per_image=3"]
    whole = train(model, data, tmp_path / "whole", *more)
    kind = {"pix2pix": Pix2Pix, "cyclegan": CycleGan}[model]
    step, steps = kind.training_step, []

    def stopped(self: Any, batch: Any, batch_idx: int) -> torch.Tensor:
        steps.append(batch_idx)
        if len(steps) == 14:  # in the second epoch
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(kind, "training_step", stopped)
    part = train(model, data, tmp_path / "part", *more)
    assert len(steps) == 14 and steps[-1] > 0
    again = resolve_settings(REGISTRY, preset=None, config=None, flags={}, sets=[], resume=part)
    run_training(REGISTRY, again, tmp_path / "part", resume=part)
    ends = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, part)]
    assert ends[0]["global_step"] == ends[1]["global_step"] == len(steps)
    assert all(torch.equal(ends[0]["state_dict"][key], ends[1]["state_dict"][key]) for key in ends[0]["state_dict"])
