"""One line per epoch, and on a terminal the batches of the present one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

_REDRAW = 0.2  # seconds at least from one drawing to the next


class EpochLines(Callback):  # type: ignore[misc]
    """Prints losses, the figure that decides on the best epoch, seconds and time left after each epoch.

    Args:
        epochs: epochs of the training; -1: no limit.
        judgement: name of the figure that decides on the best epoch, and whether this one is the best so far.
    """

    def __init__(self, epochs: int, judgement: Callable[[], tuple[str, bool]]) -> None:
        self.epochs = epochs
        self.judgement = judgement
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._drawn = self._began = self._started = 0.0
        self._done = 0
        self._validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; make the bar where it can be redrawn."""
        self._started = time.monotonic()
        if self.console.is_terminal and trainer.is_global_zero:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
            self._bar = Progress(*columns, console=self.console, auto_refresh=False, transient=True)
            self._bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time the epoch."""
        self._began = time.monotonic()
        self._validated = False
        self._draw(f"epoch {trainer.current_epoch + 1}", 0, trainer.num_training_batches, at_once=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show how far the epoch is."""
        self._draw(f"epoch {trainer.current_epoch + 1}", batch_idx + 1, trainer.num_training_batches)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what takes the time."""
        self._validated = True
        self._draw("validation", 0, sum(trainer.num_val_batches), at_once=True)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show how far the validation is."""
        self._draw("validation", batch_idx + 1, sum(trainer.num_val_batches))

    def _draw(self, what: str, done: int, number: float, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._bar is not None and (at_once or now - self._drawn > _REDRAW):
            if at_once:  # a total cannot be taken back, so each phase has its own task
                for task in self._bar.task_ids:
                    self._bar.remove_task(task)
                self._bar.add_task(what, total=None if number == float("inf") else int(number))
            self._bar.update(self._bar.task_ids[0], description=what, completed=done, refresh=True)
            self._drawn = now

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line."""
        self._done += 1
        extra = 0 <= self.epochs <= trainer.current_epoch  # weight averaging has Lightning run one more
        if trainer.is_global_zero and not extra:
            now = time.monotonic()
            monitored, best = self.judgement()
            line = epoch_line(
                trainer.current_epoch + 1,
                self.epochs,
                {
                    name: float(value)
                    for name, value in trainer.callback_metrics.items()
                    # Lightning keeps the figures of the last validation, which are not this epoch's.
                    if value.numel() == 1 and (self._validated or not name.startswith("val"))
                },
                monitored,
                best=best,
                seconds=now - (self._began or self._started),
                left=_seconds_left(trainer, self.epochs, (now - self._started) / self._done),
            )
            self.console.print(line, markup=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar away."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def epoch_line(
    epoch: int,
    epochs: int,
    metrics: Mapping[str, float],
    monitored: str,
    *,
    best: bool,
    seconds: float,
    left: float | None,
) -> str:
    """The line about one epoch.

    >>> epoch_line(3, 20, {"train_loss": 0.25, "val_f1": 0.5}, "val_f1", best=True, seconds=2, left=90)
    'epoch  3/20   train_loss 0.2500   val_f1 0.5000 (best)   2.0 s   1 min 30 s left'
    """
    count = f"{epoch:>{len(str(epochs))}}/{epochs}" if epochs > 0 else str(epoch)
    losses = [
        name for name in metrics if "loss" in name and not name.endswith(("_step", "_epoch")) and name != monitored
    ]
    losses.sort(key=lambda name: not name.startswith("train"))
    parts = [f"epoch {count}", *(f"{name} {metrics[name]:.4f}" for name in losses[:4])]
    if monitored in metrics:
        parts.append(f"{monitored} {metrics[monitored]:.4f}" + (" (best)" if best else ""))
    parts.append(f"{seconds:.1f} s")
    if left is not None and round(left) > 0:
        parts.append(f"{_duration(left)} left")
    return "   ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _seconds_left(trainer: Trainer, limit: int, per_epoch: float) -> float | None:
    """By epochs or steps, whichever ends first; None when there is no end."""
    epochs: list[float] = []
    if limit > 0:
        epochs.append(limit - trainer.current_epoch - 1)
    if trainer.max_steps > 0 and trainer.global_step:
        per_step = (trainer.current_epoch + 1) / trainer.global_step
        epochs.append((trainer.max_steps - trainer.global_step) * per_step)
    return min(epochs) * per_epoch if epochs else None
