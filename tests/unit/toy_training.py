"""A model and data that train in milliseconds. Run as a script, a training that can be killed from outside."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

IMAGES, BATCH = 12, 2


class Blobs(Dataset):
    """Noise, and the same noise smoothed: something that a convolution can learn."""

    def __init__(self, number: int, size: int = 8) -> None:
        generator = torch.Generator().manual_seed(7)
        self.images = torch.randn(number, 1, size, size, generator=generator)
        self.targets = nn.functional.avg_pool2d(self.images, 3, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": self.images[index], "target": self.targets[index], "index": torch.tensor(index)}


class EpochOrder(Sampler):
    """An order that depends on the seed and on the epoch it is told."""

    def __init__(self, number: int, seed: int) -> None:
        self.number, self.seed, self.epoch = number, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        return iter(torch.randperm(self.number, generator=generator).tolist())


class ToyData(pl.LightningDataModule):
    def __init__(self, *, shuffle: bool = False, workers: int = 0, validation: bool = True) -> None:
        super().__init__()
        self.shuffle, self.workers = shuffle, workers
        if not validation:
            self.val_dataloader = super().val_dataloader

    def train_dataloader(self) -> DataLoader:
        data = Blobs(IMAGES)
        order = {"shuffle": True} if self.shuffle else {"sampler": EpochOrder(len(data), seed=3)}
        return DataLoader(data, BATCH, num_workers=self.workers, **order)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Blobs(3), 1)


class ToyModel(pl.LightningModule):
    """Dropout uses random numbers, batch norm has buffers, and the optimizer and scheduler have states."""

    def __init__(self, scheduler: str = "step", lr: float = 1e-2) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, 1, 3, padding=1)
        )
        self.scheduler, self.lr = scheduler, lr
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.seen.append(tuple(batch["index"].tolist()))
        loss = nn.functional.mse_loss(self(batch["image"]), batch["target"])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self.log("val_loss", nn.functional.mse_loss(self(batch["image"]), batch["target"]))

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        optim = torch.optim.lr_scheduler
        if self.scheduler == "plateau":
            # with patience 0 and an impossible threshold, each epoch changes the rate
            plateau = optim.ReduceLROnPlateau(optimizer, patience=0, factor=0.7, threshold=0.9)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}
        if self.scheduler == "cycle":
            cycle = optim.OneCycleLR(optimizer, max_lr=self.lr, total_steps=60)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
        return {"optimizer": optimizer, "lr_scheduler": optim.MultiStepLR(optimizer, [1, 2, 3], gamma=0.5)}


class SlowModel(ToyModel):
    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        time.sleep(0.02)
        return super().training_step(batch, batch_idx)


def main(run_dir: Path, epochs: int, resume: str | None) -> None:
    """Train, and print what came of it."""
    from im2im_core.builtin.trainer import build_trainer
    from im2im_core.builtin.trainer_config import LightningTrainerConfig

    torch.set_num_threads(1)
    pl.seed_everything(1)
    trainer = build_trainer(LightningTrainerConfig(max_epochs=epochs, accelerator="cpu", loggers=["csv"]))
    result = trainer.fit(SlowModel(), ToyData(), run_dir, resume=Path(resume) if resume else None)
    weight = sum(parameter.double().sum().item() for parameter in result.model.parameters())
    print(f"interrupted={result.interrupted} epochs={result.epochs} steps={result.steps} weight={weight:.12f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
