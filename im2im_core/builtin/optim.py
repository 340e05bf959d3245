"""Builds the optimizers and schedules of torch that `im2im_core.optim` describes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler

from im2im_core.errors import ConfigError
from im2im_core.optim import check_optimizer, check_scheduler, find_optimizer, find_scheduler

Parameters = Iterable[Any]
LightningSchedule = dict[str, Any]


def build_optimizer(name: str, arguments: Mapping[str, Any]) -> Callable[[Parameters], Optimizer]:
    """A function from parameters (or parameter groups) to an optimizer.

    Raises:
        ComponentError: unknown name.
        ConfigError: the settings do not fit it.
    """
    _refuse("optimizer", check_optimizer(name, arguments))
    kind = getattr(torch.optim, find_optimizer(name).class_name)
    settings = {key: _tuple(value) for key, value in arguments.items()}

    def optimizer(parameters: Parameters) -> Optimizer:
        try:
            built: Optimizer = kind(parameters, **settings)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"optimizer '{name}': {error}", f"see im2im show optimizer {name}") from error
        return built

    return optimizer


class SchedulerBuilder:
    """`build(optimizer, trainer) -> {"scheduler", "interval", "frequency", ...}`, as Lightning wants it.

    Args:
        name: a schedule of `im2im_core.optim.SCHEDULERS`.
        arguments: its settings.
        total_steps: optimizer steps of the training, when already known.
        max_epochs: epochs of the training, when already known.

    Raises:
        ComponentError: unknown name.
        ConfigError: the settings do not fit it.
    """

    def __init__(
        self,
        name: str,
        arguments: Mapping[str, Any],
        total_steps: int | None = None,
        max_epochs: int | None = None,
    ) -> None:
        _refuse("scheduler", check_scheduler(name, arguments))
        self.name = name
        self.arguments = dict(arguments)
        self.total_steps = total_steps
        self.max_epochs = max_epochs

    def __call__(self, optimizer: Optimizer, trainer: Any = None) -> LightningSchedule:
        """The schedule of one optimizer.

        Args:
            optimizer: whose rates are changed.
            trainer: the Lightning trainer, asked for the training's length where the settings state none.

        Raises:
            ConfigError: the length is needed and cannot be found out, or torch refuses a value.
        """
        described = find_scheduler(self.name)
        settings = {k: v for k, v in self.arguments.items() if v is not None and k not in ("interval", "monitor")}
        interval = self.arguments.get("interval") or ("step" if self._counts_steps(settings) else "epoch")
        if described.length and not self._has_length(settings):
            settings[described.length] = self._length(interval, trainer)
        if self.name == "one-cycle":
            settings.setdefault("max_lr", [group["lr"] for group in optimizer.param_groups])
        try:
            schedule = getattr(lr_scheduler, described.class_name)(optimizer, **settings)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"scheduler '{self.name}': {error}", f"see im2im show scheduler {self.name}") from error
        result: LightningSchedule = {"scheduler": schedule, "interval": interval, "frequency": 1}
        if self.name == "plateau":
            result["monitor"] = self.arguments.get("monitor", "val_loss")
        return result

    def _has_length(self, settings: Mapping[str, Any]) -> bool:
        described = find_scheduler(self.name)
        return described.length in settings or "epochs" in settings

    def _counts_steps(self, settings: Mapping[str, Any]) -> bool:
        # One-cycle is defined by steps. A length that a person writes for the others is in epochs, as in torch's docs.
        return self.name == "one-cycle" or (find_scheduler(self.name).by_step and not self._has_length(settings))

    def _length(self, interval: str, trainer: Any) -> int:
        length: float | None
        if interval == "step":
            length = self.total_steps or (trainer.estimated_stepping_batches if trainer is not None else None)
        else:
            length = self.max_epochs or (trainer.max_epochs if trainer is not None else None)
        if length is None or math.isinf(length) or length < 1:
            setting = find_scheduler(self.name).length
            raise ConfigError(
                f"scheduler '{self.name}' needs to know how long the training is",
                f"set trainer.max_epochs, or scheduler.{setting}",
            )
        return int(length)


def build_scheduler(
    name: str,
    arguments: Mapping[str, Any],
    *,
    total_steps: int | None = None,
    max_epochs: int | None = None,
) -> SchedulerBuilder:
    """A function from an optimizer (and the Lightning trainer) to Lightning's scheduler dictionary."""
    return SchedulerBuilder(name, arguments, total_steps, max_epochs)


def _refuse(section: str, problems: list[str]) -> None:
    if problems:
        raise ConfigError("\n".join(f"{section}: {problem}" for problem in problems), "see im2im show")


def _tuple(value: Any) -> Any:
    # YAML has lists only; torch compares and unpacks betas as a tuple.
    return tuple(value) if isinstance(value, list) else value
