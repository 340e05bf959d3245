"""What a training is watched by: validation figures of whole results, and a loss that must stay a number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.callbacks import Callback

from im2im_core.averages import mean_of_defined
from im2im_core.builtin.trainer_checkpoint_file import LAST
from im2im_core.errors import Im2imError
from im2im_core.interfaces import NumpyArray

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

Validate = Callable[[NumpyArray, NumpyArray], dict[str, float]]


class ValidationMetrics(Callback):  # type: ignore[misc]
    """Logs `val_<name>`: the mean over the validation images of what `validate` says about each.

    An image for which a figure is not defined (NaN) does not count for that figure.
    """

    def __init__(self, validate: Validate) -> None:
        self.validate = validate
        self._values: dict[str, list[float]] = defaultdict(list)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._values.clear()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score each image of the batch, with the prediction of the validation step where it returned one."""
        if trainer.sanity_checking or not isinstance(batch, Mapping) or "target" not in batch:
            return
        if isinstance(outputs, Mapping) and "prediction" in outputs:
            predictions = outputs["prediction"]
        else:
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                predictions = pl_module(batch["image"])
        for prediction, target in zip(_array(predictions, as_float=True), _array(batch["target"]), strict=True):
            for name, value in self.validate(prediction, target).items():
                self._values[name].append(float(value))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means."""
        for name, values in self._values.items():
            mean = mean_of_defined(values)
            pl_module.log(f"val_{name}", mean, on_step=False, on_epoch=True, sync_dist=True, batch_size=1)


def _array(tensor: torch.Tensor, *, as_float: bool = False) -> NumpyArray:
    tensor = tensor.detach()
    if as_float or tensor.dtype is torch.bfloat16:
        tensor = tensor.float()
    array: NumpyArray = tensor.cpu().numpy()
    return array


class EpochNumbers(Callback):  # type: ignore[misc]
    """Tells every part of the model that has `set_epoch` which epoch begins, such as a loss that comes in slowly."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training that goes on within an epoch does not begin that epoch again."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first batch."""
        for module in pl_module.modules():
            if callable(tell := getattr(module, "set_epoch", None)):
                tell(trainer.current_epoch)


class LossGuard(Callback):  # type: ignore[misc]
    """Ends the training when the loss is no number any more, before such weights get into a checkpoint.

    On the processor each step is looked at; on other devices, where looking means waiting for the device, only as often
    as steps are logged, and before every validation and checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._losses: list[torch.Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, torch.Tensor):
            self._losses.append(loss.detach())
            if loss.device.type == "cpu" or len(self._losses) >= trainer.log_every_n_steps:
                self.check(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before a validation, after which weights may be kept as the best."""
        self.check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the epoch is kept, also at what a model with several optimizers has logged."""
        self.check(trainer)
        for name, value in trainer.callback_metrics.items():
            if name.startswith("train") and "loss" in name and torch.isnan(value).any():
                self._fail(trainer)

    def check(self, trainer: Trainer) -> None:
        """Look at the losses since the last look.

        Raises:
            Im2imError: one is NaN.
        """
        losses, self._losses = self._losses, []
        if losses and bool(torch.isnan(torch.stack([loss.float().mean() for loss in losses])).any()):
            self._fail(trainer)

    def _fail(self, trainer: Trainer) -> None:
        last = self.folder / LAST
        kept = f"; the weights of the last good epoch are in '{last}'" if last.exists() else ""
        raise Im2imError(
            f"the loss became NaN in epoch {trainer.current_epoch + 1}{kept}",
            "lower the learning rate (optimizer.lr), or limit the gradient (trainer.gradient_clip_val=1)",
        )
