"""Seconds per optimizer step through the trainer, beside a bare loop with the same network, loss and optimizer.

The two alternate step by step, so that whatever else the machine does falls on both: each time the trainer is about to
begin a step, the bare loop takes one of its own. Printed are the medians and the ratio; the aim is at most 1.05.
The start and the end of a training (log files, the checkpoint) do not grow with the steps and are not counted.

    python benchmarks/training_step.py --steps 40
    python benchmarks/training_step.py --steps 40 --model embedseg --batch 8 --size 128
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from monai.networks.nets import BasicUNet
from torch import nn
from torch.utils.data import DataLoader

from im2im_core.build import build_model, call_factory
from im2im_core.builtin.trainer import build_trainer
from im2im_core.builtin.trainer_config import LightningTrainerConfig
from im2im_core.config import resolve
from im2im_core.demo_images import make_nuclei
from im2im_core.registry import Registry

Batch = dict[str, torch.Tensor]
BareStep = Callable[[Batch], None]
WARM_UP = 2  # steps in which libraries load and memory is allocated


class Regression(pl.LightningModule):
    """A network, a loss and an optimizer as a model component puts them together."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 1, Y, X) to (B, 1, Y, X)."""
        prediction: torch.Tensor = self.network(image)
        return prediction

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """The loss, logged as models log it."""
        loss = nn.functional.mse_loss(self(batch["image"]), batch["target"])
        self.log("train_loss", loss, on_step=True, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class InMemory(pl.LightningDataModule):
    """The given batches in the given order."""

    def __init__(self, batches: list[Batch]) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches are complete already."""
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]


def unet_regression(options: argparse.Namespace, device: torch.device) -> tuple[pl.LightningModule, BareStep]:
    """MONAI's BasicUNet with the mean squared error and AdamW: as a module, and as one step of a bare loop."""
    width = options.width
    features = (width, width, 2 * width, 4 * width, 8 * width, width)
    model = Regression(BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=features))
    network = copy.deepcopy(model.network).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def bare_step(batch: Batch) -> None:
        prediction = network(batch["image"].to(device))
        loss = nn.functional.mse_loss(prediction, batch["target"].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return model, bare_step


def embedseg(options: argparse.Namespace, device: torch.device) -> tuple[pl.LightningModule, BareStep]:
    """The preset nuclei-2d: its network, loss and optimizer as a module, and as one step of a bare loop."""
    config = resolve(Registry.discover(), preset="nuclei-2d", flags={"dataset": {"path": "."}})
    config = dataclasses.replace(config, scheduler=None)
    model = build_model(config, spatial_dims=2, in_channels=1, target_channels=1, training=True)
    bare = copy.deepcopy(model).to(device)
    optimizer = call_factory(config.optimizer)(bare.parameters())

    def bare_step(batch: Batch) -> None:
        loss = bare.loss(bare(batch["image"].to(device)), batch["target"].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return model, bare_step


def nuclei(options: argparse.Namespace) -> Batch:
    """A batch of generated nuclei."""
    made = [make_nuclei(np.random.default_rng(seed), (options.size, options.size)) for seed in range(options.batch)]
    images, labels = (np.stack([pair[i] for pair in made])[:, None] for i in (0, 1))
    return {
        "image": torch.from_numpy(images / images.max()).float(),
        "target": torch.from_numpy(labels.astype("int32")),
    }


def alternate(
    model: pl.LightningModule, bare_step: BareStep, batches: list[Batch], device: torch.device
) -> tuple[list[float], list[float]]:
    """Seconds of each step: through the trainer, and of the bare loop."""
    through_trainer: list[float] = []
    bare: list[float] = []
    began: list[float] = []
    training_step = model.training_step

    def paired_step(batch: Batch, batch_idx: int) -> Any:
        begin = now(device)
        if began:
            through_trainer.append(begin - began.pop())
        bare_step(batches[batch_idx])
        end = now(device)
        bare.append(end - begin)
        began.append(end)
        return training_step(batch, batch_idx)

    model.training_step = paired_step  # type: ignore[method-assign]
    config = LightningTrainerConfig(
        max_epochs=1,
        limit_val_batches=0,
        keep_best=False,
        accelerator="cpu" if device.type == "cpu" else "gpu",
        devices=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        build_trainer(config).fit(model, InMemory(batches), Path(folder))
    return through_trainer[WARM_UP:], bare[WARM_UP:-1]


def now(device: torch.device) -> float:
    """The time when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["unet", "embedseg"], default="unet", help="what is trained")
    parser.add_argument("--steps", type=int, default=40, help="optimizer steps of each kind")
    parser.add_argument("--size", type=int, default=256, help="pixels along Y and X")
    parser.add_argument("--batch", type=int, default=4, help="images per batch")
    parser.add_argument("--width", type=int, default=8, help="channels of the U-Net's first level")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    count = options.steps + WARM_UP + 1
    if options.model == "embedseg":
        model, bare_step = embedseg(options, device)
        batches = [nuclei(options)] * count
    else:
        model, bare_step = unet_regression(options, device)
        shape = (options.batch, 1, options.size, options.size)
        batches = [{"image": torch.randn(shape), "target": torch.randn(shape)} for _ in range(count)]
    through_trainer, bare = alternate(model, bare_step, batches, device)
    ratios = [with_trainer / alone for with_trainer, alone in zip(through_trainer, bare, strict=True)]
    quarter, median, three_quarters = statistics.quantiles(ratios, n=4)
    difference = statistics.median(t - b for t, b in zip(through_trainer, bare, strict=True))
    print(f"bare loop  {1000 * statistics.median(bare):8.2f} ms per step (median of {len(bare)})")
    print(f"trainer    {1000 * statistics.median(through_trainer):8.2f} ms per step, {1000 * difference:.2f} ms more")
    print(f"ratio      {median:8.3f} (half of the steps between {quarter:.3f} and {three_quarters:.3f})")


if __name__ == "__main__":
    main()
