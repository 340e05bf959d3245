"""Seconds per optimizer step through the trainer, beside a bare loop with the same network, loss, optimizer, batches.

Both run in alternation, several times, each from the same weights and on the same batches in memory. Printed are the
medians and the median of the ratios of neighbouring runs; the aim is a ratio of at most 1.05. The start and the end of
a training (checkpoint, log files), which do not grow with the number of steps, are not part of a step and not counted.
On a machine that others use too, `--clock cpu` (processor time of this process) says more than the clock on the wall.

    python benchmarks/training_step.py --steps 20 --runs 5
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from monai.networks.nets import BasicUNet
from torch import nn
from torch.utils.data import DataLoader

from im2im_core.builtin.trainer import build_trainer
from im2im_core.builtin.trainer_config import LightningTrainerConfig

Batches = list[dict[str, torch.Tensor]]
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}


class Regression(pl.LightningModule):
    """A network, a loss and an optimizer as a model component puts them together."""

    def __init__(self, network: nn.Module, lr: float, clock: Clock) -> None:
        super().__init__()
        self.network, self.lr, self.clock = network, lr, clock
        self.times: list[float] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 1, Y, X) to (B, 1, Y, X)."""
        prediction: torch.Tensor = self.network(image)
        return prediction

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """The loss, logged as models log it."""
        self.times.append(now(self.clock, self.device))
        loss = nn.functional.mse_loss(self(batch["image"]), batch["target"])
        self.log("train_loss", loss, on_step=True, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


class InMemory(pl.LightningDataModule):
    """The given batches in the given order."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches are complete already."""
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]


def now(clock: Clock, device: torch.device) -> float:
    """The time when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock()


def through_trainer(model: Regression, batches: Batches, device: torch.device) -> float:
    """Mean seconds from the start of one step to the start of the next, without the first."""
    accelerator = "cpu" if device.type == "cpu" else "gpu"
    config = LightningTrainerConfig(
        max_epochs=1, limit_val_batches=0, keep_best=False, accelerator=accelerator, devices=1
    )
    with tempfile.TemporaryDirectory() as folder:
        build_trainer(config).fit(model, InMemory(batches), Path(folder))
    return (model.times[-1] - model.times[1]) / (len(model.times) - 2)


def bare_loop(model: Regression, batches: Batches, device: torch.device) -> float:
    """The same, written out."""
    model.train().to(device)
    optimizer = model.configure_optimizers()
    times = []
    for batch in batches:
        times.append(now(model.clock, device))
        prediction = model(batch["image"].to(device))
        loss = nn.functional.mse_loss(prediction, batch["target"].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (times[-1] - times[1]) / (len(times) - 2)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps per run, at least 3")
    parser.add_argument("--runs", type=int, default=5, help="runs of each kind")
    parser.add_argument("--size", type=int, default=256, help="pixels along Y and X")
    parser.add_argument("--batch", type=int, default=4, help="images per batch")
    parser.add_argument("--width", type=int, default=8, help="channels of the U-Net's first level")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="what is measured")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    width = options.width
    features = (width, width, 2 * width, 4 * width, 8 * width, width)
    model = Regression(
        BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=features), 1e-3, CLOCKS[options.clock]
    )
    shape = (options.batch, 1, options.size, options.size)
    batches = [{"image": torch.randn(shape), "target": torch.randn(shape)} for _ in range(options.steps)]

    bare_loop(copy.deepcopy(model), batches[:3], device)  # libraries load, memory is allocated
    through_trainer(copy.deepcopy(model), batches[:3], device)
    bare, trainer = [], []
    for run in range(options.runs):
        order = [(bare, bare_loop), (trainer, through_trainer)]
        for results, measure in order if run % 2 == 0 else reversed(order):
            results.append(measure(copy.deepcopy(model), batches, device))
    ratios = [with_trainer / alone for with_trainer, alone in zip(trainer, bare, strict=True)]
    print(f"bare loop  {1000 * statistics.median(bare):8.2f} ms per step")
    print(f"trainer    {1000 * statistics.median(trainer):8.2f} ms per step")
    print(f"ratio      {statistics.median(ratios):8.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
