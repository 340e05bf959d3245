"""The trainer `lightning`: settings to a Lightning Trainer, one training, and what came of it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning import profilers
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from im2im_core.builtin.trainer_callbacks import build_callbacks
from im2im_core.builtin.trainer_checkpoint_file import BEST, LAST, PlainCheckpointIO, check_unused, read_checkpoint
from im2im_core.builtin.trainer_checkpoints import Checkpoints
from im2im_core.builtin.trainer_config import LightningTrainerConfig, StochasticWeightAveraging
from im2im_core.builtin.trainer_errors import for_the_user
from im2im_core.builtin.trainer_layout import compile_networks, convert_layout, restore
from im2im_core.builtin.trainer_metrics_table import MetricsTable
from im2im_core.builtin.trainer_previews import Previews
from im2im_core.builtin.trainer_progress import EpochLines
from im2im_core.builtin.trainer_quiet import contained
from im2im_core.builtin.trainer_resume import ExactResume
from im2im_core.builtin.trainer_stop import StopRequest, TrainingStopped
from im2im_core.builtin.trainer_validation import EpochNumbers, LossGuard, Validate, ValidationMetrics
from im2im_core.errors import ConfigError, DataError, Im2imError
from im2im_core.files import check_writable
from im2im_core.interfaces import ModelTrainer, TrainingResult

log = logging.getLogger(__name__)
# settings of our own; all others are arguments of pytorch_lightning.Trainer of the same name
OWN_SETTINGS = frozenset(
    {
        "loggers", "callbacks", "save_every_n_epochs", "keep_best", "preview_every_n_epochs", "channels_last",
        "compile", "progress", "profiler",
    }
)  # fmt: skip
# what Lightning does only for models whose optimizers it steps itself
MANUAL_SETTINGS = {"accumulate_grad_batches": 1, "gradient_clip_val": None, "gradient_clip_algorithm": None}
_PROFILERS = {
    "simple": profilers.SimpleProfiler,
    "advanced": profilers.AdvancedProfiler,
    "pytorch": profilers.PyTorchProfiler,
}


def build_trainer(config: LightningTrainerConfig) -> ModelTrainer:
    """The trainer with these settings."""
    return LightningTrainer(config)


class LightningTrainer:
    """Trains with PyTorch Lightning. A run folder gets `checkpoints/`, `metrics.csv` and `tensorboard/`."""

    def __init__(self, config: LightningTrainerConfig) -> None:
        self.config = config

    def fit(
        self,
        model: pl.LightningModule,
        data: pl.LightningDataModule,
        run_dir: Path,
        *,
        resume: Path | None = None,
        validate: Validate | None = None,
        monitor: tuple[str, bool] | None = None,
    ) -> TrainingResult:
        """Train. Ctrl-C and SIGTERM end it at the end of the batch, and what was done is kept and returned.

        Args:
            model: what to train. It is returned on the CPU, in evaluation mode, as float32.
            data: batches: dictionaries with "image" and "target" when `validate` is given.
            run_dir: folder of the run. On resuming, the same as before or another.
            resume: `checkpoints/last.ckpt` of an earlier run; may have been written within an epoch.
            validate: figures from a prediction (K, [Z], Y, X) and its target (C, [Z], Y, X); their means are logged
                as `val_<name>`.
            monitor: name of the logged figure that decides which epoch is best, and whether higher is better; by
                default, and in place of one that is never produced, the validation loss.

        Raises:
            Im2imError: the loss became NaN, or memory is not enough.
            ConfigError: the settings do not fit each other, the model, or this machine.
            BundleError: the checkpoint is unreadable or belongs to another model.
            OutputError: the folder cannot be written, or already holds another training.
        """
        run_dir = Path(run_dir)
        monitor = monitor or ("val_loss", False)
        folder = run_dir / "checkpoints"
        check_writable(folder)
        first_step = None
        if resume is None:
            check_unused(folder)
        else:
            first_step = self._take_over(Path(resume), run_dir)
        stop = StopRequest()
        with contained(), stop.on_signals(), for_the_user(run_dir):
            if self.config.channels_last:
                convert_layout(model, channels_last=True)
            networks = compile_networks(model) if self.config.compile else []
            checkpoints = self._checkpoints(folder, monitor, stop)
            callbacks = self._callbacks(checkpoints, validate, monitor, run_dir)
            trainer = self._trainer(run_dir, callbacks, first_step, self._stepping(model))
            try:
                interrupted = _run(trainer, model, data, resume, stop)
            finally:
                stop.in_training = False
                restore(model, networks, channels_last=self.config.channels_last)
                model.trainer = None  # which holds the data
            return self._result(trainer, model, checkpoints, interrupted)

    def _take_over(self, resume: Path, run_dir: Path) -> int:
        """Check the checkpoint, bring what belongs to it into another run folder, and return its number of steps."""
        checkpoint = read_checkpoint(resume)
        loops = checkpoint["loops"]["fit_loop"]
        done, limit = int(loops["epoch_progress"]["current"]["processed"]), self.config.max_epochs
        if 0 <= limit < done:
            raise ConfigError(
                f"'{resume}' has completed {done} epochs, but trainer.max_epochs is '{limit}'",
                f"set trainer.max_epochs to more than {done}",
            )
        for old, new in (
            (resume.with_name(BEST), run_dir / "checkpoints" / BEST),
            (resume.parent.parent / "metrics.csv", run_dir / "metrics.csv"),
        ):
            if old.is_file() and not new.exists() and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
                new.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(old, new)
        return int(loops["epoch_loop.state_dict"]["_batches_that_stepped"])

    def _checkpoints(self, folder: Path, monitor: tuple[str, bool], stop: StopRequest) -> Checkpoints:
        config = self.config
        return Checkpoints(
            folder,
            monitor=monitor,
            keep_best=config.keep_best,
            epochs=config.max_epochs,
            every_n_epochs=config.save_every_n_epochs,
            stop=stop,
            guard=LossGuard(folder),
        )

    def _callbacks(
        self, checkpoints: Checkpoints, validate: Validate | None, monitor: tuple[str, bool], run_dir: Path
    ) -> list[pl.Callback]:
        """In the order in which they act: first what judges, last what keeps."""
        callbacks: list[pl.Callback] = [checkpoints.guard]
        if validate is not None:
            callbacks.append(ValidationMetrics(validate))
        if self.config.preview_every_n_epochs:
            callbacks.append(Previews(run_dir, self.config.preview_every_n_epochs))
        callbacks += build_callbacks(self.config.callbacks, monitor)
        if self.config.progress:
            callbacks.append(EpochLines(self.config.max_epochs, checkpoints.judgement))
        return [*callbacks, EpochNumbers(), ExactResume(), checkpoints]

    def _stepping(self, model: pl.LightningModule) -> dict[str, Any]:
        """Accumulation and clipping, given to the model if it steps its optimizers itself, else to Lightning."""
        settings = {name: getattr(self.config, name) for name in MANUAL_SETTINGS}
        if model.automatic_optimization:
            return settings
        if hasattr(model, "configure_steps"):
            model.configure_steps(**settings)
        elif settings != MANUAL_SETTINGS:
            name = next(name for name, off in MANUAL_SETTINGS.items() if settings[name] != off)
            raise ConfigError(
                f"trainer.{name} is '{settings[name]}', but the model steps its optimizers itself and does not take it",
                f"leave trainer.{name} out",
            )
        return {}

    def _trainer(
        self, run_dir: Path, callbacks: list[pl.Callback], first_step: int | None, stepping: dict[str, Any]
    ) -> pl.Trainer:
        config = self.config
        others = set(type(config).model_fields) - OWN_SETTINGS - set(MANUAL_SETTINGS)
        settings = {name: getattr(config, name) for name in others} | stepping
        loggers: list[Logger] = []
        if "csv" in config.loggers:
            loggers.append(MetricsTable(run_dir / "metrics.csv", first_step))
        if "tensorboard" in config.loggers:
            # points that come again after a resumption are purged from the curves
            loggers.append(
                TensorBoardLogger(run_dir, "tensorboard", "", default_hp_metric=False, purge_step=first_step)
            )
        profiler = _PROFILERS[config.profiler](dirpath=run_dir, filename="profile") if config.profiler else None
        try:
            return pl.Trainer(
                **settings,
                callbacks=callbacks,
                logger=loggers or False,
                profiler=profiler,
                plugins=[PlainCheckpointIO()],
                default_root_dir=run_dir,
                enable_progress_bar=False,
                enable_autolog_hparams=False,
            )
        except (ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(f"the trainer cannot work like this: {error}", "change the `trainer` settings") from error

    def _result(
        self, trainer: pl.Trainer, model: pl.LightningModule, checkpoints: Checkpoints, interrupted: bool
    ) -> TrainingResult:
        """The weights are those of a checkpoint, except for averages that exist only at the end."""
        folder, limit = checkpoints.folder, self.config.max_epochs
        if trainer.num_training_batches == 0 or self.config.limit_train_batches == 0:
            raise DataError("there is not one training batch", "add images, or make batches smaller")
        kept = [folder / BEST, folder / LAST] if self.config.keep_best else [folder / LAST]
        source = next((path for path in kept if path.is_file()), None)
        averaged = any(isinstance(config, StochasticWeightAveraging) for config in self.config.callbacks)
        metrics = checkpoints.figures
        # The first process may still be writing; the others have no use for the weights.
        if source is not None and trainer.is_global_zero and (interrupted or not averaged):
            checkpoint = read_checkpoint(source)
            metrics = checkpoint["callbacks"][Checkpoints.__qualname__]["figures"]
            model.load_state_dict(checkpoint["state_dict"])
        if self.config.keep_best and not metrics and not interrupted:
            log.warning("nothing was validated: the weights of the last epoch are returned")
        model.float().eval()
        return TrainingResult(
            model=model,
            epochs=min(trainer.current_epoch, limit) if limit >= 0 else trainer.current_epoch,
            steps=trainer.global_step,
            metrics=metrics,
            interrupted=interrupted,
            checkpoint=folder / LAST if (folder / LAST).is_file() else None,
        )


def _run(
    trainer: pl.Trainer, model: pl.LightningModule, data: pl.LightningDataModule, resume: Path | None, stop: StopRequest
) -> bool:
    """Train; whether it was interrupted by the user."""
    if not model.training:
        model.train()
    try:
        trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    except TrainingStopped:
        return True
    except (KeyboardInterrupt, SystemExit) as error:  # Lightning makes the one into the other
        if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        return True
    except Im2imError:
        raise
    except RuntimeError:
        # a data-loading worker that was killed by the same Ctrl-C
        if not stop.requested:
            raise
        return True
    return False
