"""Pictures of a validation image while the training goes on: what goes in, what comes out, what should."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from im2im_core.drawing import composite, fit, png, stretch
from im2im_core.files import write_bytes
from im2im_core.interfaces import NumpyArray

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

log = logging.getLogger(__name__)
FOLDER = "previews"
GAP = 6


class Previews(Callback):  # type: ignore[misc]
    """Writes `previews/epoch-0005.png`, and the same to TensorBoard: image | what the model made of it | target.

    What the model made are the image-like tensors that its validation step returned, in their order. A training that
    never validates shows a training patch instead.

    Args:
        run_dir: folder of the run.
        every_n_epochs: epochs from one picture to the next, as far as they are validated.
    """

    def __init__(self, run_dir: Path, every_n_epochs: int) -> None:
        self.folder = run_dir / FOLDER
        self.every_n_epochs = every_n_epochs
        self._drawn = -every_n_epochs
        self._patches: Mapping[str, torch.Tensor] | None = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first image of the first batch."""
        if batch_idx or trainer.sanity_checking or not self._due(trainer):
            return
        if isinstance(outputs, Mapping) and isinstance(batch, Mapping) and "target" in batch:
            made = [value for value in outputs.values() if isinstance(value, torch.Tensor) and value.ndim >= 4]
            self._draw(trainer, batch, made)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the first batch of an epoch, in case there is no validation to show."""
        if batch_idx == 0:
            self._patches = batch if isinstance(batch, Mapping) and "target" in batch else None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw a training patch where no validation image was, or will be."""
        batch, self._patches = self._patches, None
        epoch = trainer.current_epoch + 1
        # A validation would have come before this, and its picture would not be due any more.
        unseen = epoch % (trainer.check_val_every_n_epoch or 1) == 0 or (
            epoch == trainer.max_epochs and self._drawn < 0
        )
        if batch is None or not unseen or not self._due(trainer):
            return
        pl_module.eval()
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            made = pl_module(batch["image"])
        pl_module.train()
        self._draw(trainer, batch, [made])

    def _due(self, trainer: Trainer) -> bool:
        due: bool = trainer.is_global_zero and trainer.current_epoch - self._drawn >= self.every_n_epochs
        return due

    def _draw(self, trainer: Trainer, batch: Mapping[str, torch.Tensor], made: list[torch.Tensor]) -> None:
        picture = montage([_plane(tensor) for tensor in (batch["image"], *made, batch["target"])])
        self._drawn = trainer.current_epoch
        write_bytes(self.folder / f"epoch-{trainer.current_epoch + 1:04d}.png", png(picture))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("preview", picture, trainer.global_step, dataformats="HWC")

    def state_dict(self) -> dict[str, Any]:
        """Which epoch was drawn last."""
        return {"drawn": self._drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._drawn = int(state_dict["drawn"])


def montage(panels: list[NumpyArray]) -> NumpyArray:
    """Planes (C, Y, X) beside each other, (Y, X, 3) uint8; those with as many channels as the last share its contrast.

    Prediction and target must be seen on one scale: one that stretches each would hide a wrong brightness.
    """
    target = panels[-1]
    shared = [index > 0 and len(panel) == len(target) for index, panel in enumerate(panels)]
    limits = [stretch(target if as_target else panel) for as_target, panel in zip(shared, panels, strict=True)]
    drawn = [composite(fit(panel, smooth=True), limit) for panel, limit in zip(panels, limits, strict=True)]
    height = max(len(panel) for panel in drawn)
    padded = [np.pad(panel, ((0, height - len(panel)), (0, GAP), (0, 0))) for panel in drawn]
    joined: NumpyArray = np.concatenate(padded, axis=1)[:, :-GAP]
    return joined


def _plane(tensor: torch.Tensor) -> NumpyArray:
    """The middle plane of the first of a batch, (C, Y, X); of many channels the first three."""
    first = tensor[0].detach().float().cpu()
    if first.ndim == 4:
        first = first[:, first.shape[1] // 2]
    plane: NumpyArray = first[:3].numpy()
    return plane
