"""What models of generators against discriminators share: two optimizers that take turns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.nn import Parameter


@dataclass(frozen=True, slots=True)
class _Length:
    """How long the training is, as a schedule asks the trainer."""

    estimated_stepping_batches: float
    max_epochs: int | None


class Alternating(pl.LightningModule, ABC):  # type: ignore[misc]
    """Steps an optimizer of the generators and one of the discriminators, in each batch, or each few batches.

    Accumulation and clipping are done here, since Lightning leaves them to models with more than one optimizer.
    Schedules advance by epoch, or by step where they are defined by steps.

    Args:
        optimizer, scheduler: builders; None for prediction.
    """

    def __init__(self, *, optimizer: Callable[..., Any] | None, scheduler: Callable[..., Any] | None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._optimizer, self._scheduler = optimizer, scheduler
        self._accumulate = 1
        self._clip: tuple[float, str | None] | None = None

    @abstractmethod
    def generators(self) -> Sequence[nn.Module]:
        """Trained to deceive."""

    @abstractmethod
    def discriminators(self) -> Sequence[nn.Module]:
        """Trained to tell the difference."""

    def configure_steps(
        self, *, accumulate_grad_batches: int, gradient_clip_val: float | None, gradient_clip_algorithm: str | None
    ) -> None:
        """Settings of the trainer that concern steps."""
        self._accumulate = accumulate_grad_batches
        self._clip = (gradient_clip_val, gradient_clip_algorithm) if gradient_clip_val else None

    def configure_optimizers(self) -> Any:
        """Two of the same kind, each with a schedule of its own."""
        assert self._optimizer is not None
        made = []
        for modules in (self.generators(), self.discriminators()):
            optimizer = self._optimizer(_parameters(modules))
            made.append({"optimizer": optimizer})
            if self._scheduler is not None:
                made[-1]["lr_scheduler"] = self._scheduler(optimizer, self._length())
        return made

    def _length(self) -> _Length:
        steps = self.trainer.estimated_stepping_batches
        if math.isfinite(steps):
            steps = math.ceil(steps / self._accumulate)
        return _Length(steps, self.trainer.max_epochs)

    def advance_generators(self, loss: Tensor, batch_idx: int) -> None:
        """Back-propagate, and step once enough batches are accumulated."""
        self._advance(0, loss, batch_idx)

    def advance_discriminators(self, loss: Tensor, batch_idx: int) -> None:
        """As `advance_generators`; does not count as a step of the training, of which there is one for both."""
        optimizer: Any = self.optimizers()[1]  # type: ignore[index]
        optimizer._on_before_step = optimizer._on_after_step = _nothing
        self._advance(1, loss, batch_idx)

    def _advance(self, index: int, loss: Tensor, batch_idx: int) -> None:
        self.manual_backward(loss / self._accumulate)
        if (batch_idx + 1) % self._accumulate and not self.trainer.is_last_batch:
            return
        optimizer: Any = self.optimizers()[index]  # type: ignore[index]
        optimizer.step()
        optimizer.zero_grad()
        self._advance_schedule(index, "step")

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Clip. Here the gradients of mixed precision are no longer scaled."""
        if self._clip is not None:
            value, algorithm = self._clip
            self.clip_gradients(optimizer, gradient_clip_val=value, gradient_clip_algorithm=algorithm)

    def on_train_epoch_end(self) -> None:
        """Schedules by epoch, before the epoch's checkpoint is written."""
        for index in range(len(self.trainer.lr_scheduler_configs)):
            self._advance_schedule(index, "epoch")

    def _advance_schedule(self, index: int, interval: str) -> None:
        if not self.trainer.lr_scheduler_configs:
            return
        chosen = self.trainer.lr_scheduler_configs[index]
        if chosen.interval != interval:
            return
        if not chosen.reduce_on_plateau:
            chosen.scheduler.step()
        elif chosen.monitor in self.trainer.callback_metrics:
            chosen.scheduler.step(self.trainer.callback_metrics[chosen.monitor])

    def note(self, stage: str, figures: dict[str, Tensor], count: int) -> None:
        """Log means over the epoch, `train_...` or `val_...`."""
        named = {f"{stage}_{name}": value.detach() for name, value in figures.items()}
        self.log_dict(named, on_step=False, on_epoch=True, sync_dist=True, batch_size=count)


@contextmanager
def frozen(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Gradients pass through these modules and none are computed for them."""
    parameters = [parameter for parameter in _parameters(modules) if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _parameters(modules: Iterable[nn.Module]) -> list[Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


def _nothing() -> None:
    """In place of counting a step."""
