"""From the callbacks of the configuration to those of Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pytorch_lightning import callbacks as lightning
from torch.optim.swa_utils import get_ema_multi_avg_fn

from im2im_core.builtin import trainer_config as settings
from im2im_core.components import ComponentConfig
from im2im_core.errors import ConfigError

Average = Callable[[Any, Any, Any], None]


def build_callbacks(configs: Iterable[ComponentConfig], monitor: tuple[str, bool]) -> list[lightning.Callback]:
    """Callbacks in their order.

    Args:
        configs: their settings.
        monitor: name of the figure that decides on the best epoch, and whether higher is better.
    """
    return [_build(config, monitor) for config in configs]


def _build(config: ComponentConfig, monitor: tuple[str, bool]) -> lightning.Callback:
    match config:
        case settings.EarlyStopping():
            return _early_stopping(config, monitor)
        case settings.LearningRateMonitor():
            return lightning.LearningRateMonitor(config.logging_interval, config.log_momentum, config.log_weight_decay)
        case settings.StochasticWeightAveraging():
            return lightning.StochasticWeightAveraging(
                config.learning_rate, config.start, config.annealing_epochs, config.annealing_strategy, device=None
            )
        case settings.Ema():
            return lightning.WeightAveraging(multi_avg_fn=_moving_average(config.decay, config.warmup))
        case settings.Timer():
            return lightning.Timer(config.duration, config.interval, verbose=False)
        case settings.GradientAccumulationScheduler():
            return lightning.GradientAccumulationScheduler(dict(config.scheduling))
        case settings.DeviceStats():
            return lightning.DeviceStatsMonitor(config.cpu_stats)
    raise TypeError(type(config).__name__)


def _early_stopping(config: settings.EarlyStopping, monitor: tuple[str, bool]) -> lightning.Callback:
    name, higher_is_better = monitor
    if config.monitor is not None and config.monitor != name:
        if config.higher_is_better is None:
            raise ConfigError(
                f"early-stopping watches '{config.monitor}' but is not told which way is good",
                "set higher_is_better of the callback to true or false",
            )
        name, higher_is_better = config.monitor, config.higher_is_better
    elif config.higher_is_better is not None:
        higher_is_better = config.higher_is_better
    return lightning.EarlyStopping(
        name,
        min_delta=config.min_delta,
        patience=config.patience,
        mode="max" if higher_is_better else "min",
        stopping_threshold=config.stopping_threshold,
        divergence_threshold=config.divergence_threshold,
    )


def _moving_average(decay: float, warmup: bool) -> Average:
    """Without warm-up the first, nearly random weights would dominate a training of few steps."""

    def average(averaged: list[torch.Tensor], current: list[torch.Tensor], number: Any) -> None:
        steps = int(number)
        present = min(decay, (1 + steps) / (10 + steps)) if warmup else decay
        get_ema_multi_avg_fn(present)(averaged, current, number)  # type: ignore[no-untyped-call]

    return average
