"""Which weights are kept on disk, and when."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.callbacks import Checkpoint

from im2im_core.builtin.trainer_checkpoint_file import BEST, LAST, link
from im2im_core.builtin.trainer_stop import StopRequest, TrainingStopped
from im2im_core.builtin.trainer_validation import LossGuard

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

log = logging.getLogger(__name__)


class Checkpoints(Checkpoint):  # type: ignore[misc]
    """Keeps `last.ckpt`, from which a training is resumed, and `best.ckpt`, whose weights it returns.

    Args:
        folder: where they are kept.
        monitor: name of the figure that decides which epoch is best, and whether higher is better.
        keep_best: write `best.ckpt`.
        epochs: epochs of the training; -1: no limit. Weight averaging has Lightning run one more, not to be kept.
        every_n_epochs: epochs from one `last.ckpt` to the next; the last epoch is always kept.
        stop: whether the user wants to stop.
        guard: ends the training when the weights are not worth keeping.
    """

    def __init__(
        self,
        folder: Path,
        *,
        monitor: tuple[str, bool],
        keep_best: bool,
        epochs: int,
        every_n_epochs: int,
        stop: StopRequest,
        guard: LossGuard,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.wanted = monitor
        self.keep_best = keep_best
        self.epochs = epochs
        self.every_n_epochs = every_n_epochs
        self.stop = stop
        self.guard = guard
        self._started = False
        self.monitor: tuple[str, bool] | None = None
        self.best_score: float | None = None
        self.figures: dict[str, float] = {}
        self.improved = False
        self._plateau: dict[str, float] = {}
        self._updating = False

    # which epoch is best

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the weights as they are."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self.figures = _validation_figures(trainer, self.wanted[0])
        self.improved = bool(trainer.strategy.broadcast(self._judge()))
        if self.improved and self.keep_best and not trainer.is_last_batch:
            trainer.save_checkpoint(self.folder / BEST)  # by the end of the epoch these weights will be gone
            self.improved = False

    def _judge(self) -> bool:
        if self.monitor is None:
            self.monitor = _available(self.wanted, self.figures)
        if self.monitor is None:
            return False
        name, higher_is_better = self.monitor
        score = self.figures.get(name, math.nan)
        if math.isnan(score):
            return False
        better = self.best_score is None or (score > self.best_score if higher_is_better else score < self.best_score)
        if better:
            self.best_score = score
        return better

    def judgement(self) -> tuple[str, bool]:
        """Name of the figure that decides, and whether this epoch is the best so far."""
        return (self.monitor or self.wanted)[0], self.improved

    # when

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the epoch."""
        epoch = trainer.current_epoch + 1
        if 0 <= self.epochs < epoch:
            return
        final = epoch == self.epochs or trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step
        last = final or epoch % self.every_n_epochs == 0 or self.stop.wanted(trainer)
        self._plateau = _pending_plateau_steps(trainer)
        improved, self.improved = self.improved and self.keep_best, False
        if improved:
            trainer.save_checkpoint(self.folder / BEST)
        if last and improved:
            if trainer.is_global_zero:
                link(self.folder / BEST, self.folder / LAST)
        elif last:
            trainer.save_checkpoint(self.folder / LAST)
        self._plateau = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop between two epochs when that is wanted."""
        if self.stop.wanted(trainer):
            raise TrainingStopped

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The weights are whole."""
        self._updating = False

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """From here on to the end of the batch some weights may be new and others old."""
        self._updating = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop within an epoch when that is wanted, at a batch after which all gradients have been used."""
        self._updating = False
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not trainer.is_last_batch
        if whole and self.stop.wanted(trainer):
            self.guard.check(trainer)
            trainer.save_checkpoint(self.folder / LAST)
            raise TrainingStopped

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep what was done when the interruption could not wait for the end of the batch."""
        whole = self._started and trainer.training and not self._updating and trainer.global_step > 0
        if isinstance(exception, KeyboardInterrupt) and whole:
            self.guard.check(trainer)
            trainer.save_checkpoint(self.folder / LAST)

    # over a resumption

    def state_dict(self) -> dict[str, Any]:
        """What decides about later epochs, and the figures of this one."""
        return {
            "monitor": list(self.monitor) if self.monitor else None,
            "best_score": self.best_score,
            "figures": self.figures,
            "plateau": self._plateau,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.monitor = tuple(state_dict["monitor"]) if state_dict["monitor"] else None
        self.best_score = state_dict["best_score"]
        self.figures = dict(state_dict["figures"])
        self._plateau = dict(state_dict["plateau"])
        if self.monitor and self.keep_best and not (self.folder / BEST).exists():
            self.best_score = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make up for the steps of schedulers which Lightning takes only after an epoch's checkpoint is written."""
        self._started = self.stop.in_training = True
        for index, figure in self._plateau.items():
            pl_module.lr_scheduler_step(trainer.lr_scheduler_configs[int(index)].scheduler, torch.tensor(figure))
        self._plateau = {}


def _validation_figures(trainer: Trainer, monitored: str) -> dict[str, float]:
    metrics = trainer.callback_metrics
    return {name: float(value) for name, value in metrics.items() if name.startswith("val_") or name == monitored}


def _available(wanted: tuple[str, bool], figures: Mapping[str, float]) -> tuple[str, bool] | None:
    """The wanted figure, or the validation loss in its place, or none; the choice holds for the whole training."""
    if wanted[0] in figures:
        return wanted
    there = ", ".join(f"'{name}'" for name in figures) or "none"
    if "val_loss" in figures:
        log.warning("no figure '%s' (there are: %s): the best epoch is chosen by 'val_loss'", wanted[0], there)
        return "val_loss", False
    log.warning("no figure '%s' (there are: %s): the last epoch is kept, not the best", wanted[0], there)
    return None


def _pending_plateau_steps(trainer: Trainer) -> dict[str, float]:
    """Figures, by number of the scheduler, for the plateau schedulers that are still to act on this epoch."""
    if not trainer.lightning_module.automatic_optimization:
        return {}  # such a model has let them act already
    return {
        str(index): float(trainer.callback_metrics[config.monitor])
        for index, config in enumerate(trainer.lr_scheduler_configs)
        if config.reduce_on_plateau
        and config.interval == "epoch"
        and (trainer.current_epoch + 1) % config.frequency == 0
        and config.monitor in trainer.callback_metrics
    }
