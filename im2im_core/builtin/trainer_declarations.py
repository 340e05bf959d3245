"""The trainers of the built-in plug-in. Loads no torch."""

from __future__ import annotations

from im2im_core.builtin.trainer_config import LightningTrainerConfig
from im2im_core.components import Trainer
from im2im_core.interfaces import ModelTrainer


def _lightning(config: LightningTrainerConfig) -> ModelTrainer:
    from im2im_core.builtin.trainer import build_trainer

    return build_trainer(config)


TRAINERS: tuple[Trainer, ...] = (
    Trainer(
        name="lightning",
        summary="PyTorch Lightning: any device, precision and number of devices; checkpoints, resuming, early stopping",
        config=LightningTrainerConfig,
        factory=_lightning,
    ),
)
