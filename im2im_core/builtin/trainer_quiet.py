"""Lightning's advice to its programmers is kept from our users, and nothing it sets globally outlives the training."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOGGERS = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric", "lightning")
_ADVICE = (
    r".*does not have many workers",
    r".*is smaller than the logging interval",
    r".*resuming from a checkpoint that ended before the epoch ended",
    r".*available but not used",
    r".*in eval mode at the start of training",
    r".*isinstance\(treespec, LeafSpec\)",
    r".*callbacks used to create the checkpoint need to be provided",
    r".*srun. command is available",
    r".*fp16 is not supported on CPU",
    r".*but have no .val_dataloader",
    r"Total length of .* across ranks is zero",
    r".*Trying to infer the .batch_size",
)


@contextmanager
def contained() -> Iterator[None]:
    """Quiet inside; log levels, warning filters and torch's global switches are as before afterwards."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    anomaly = torch.is_anomaly_enabled()
    try:
        with warnings.catch_warnings():
            for message in _ADVICE:
                warnings.filterwarnings("ignore", message=message)
            for name in _LOGGERS:
                logging.getLogger(name).setLevel(logging.WARNING)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.backends.cudnn.benchmark = benchmark
        torch.autograd.set_detect_anomaly(anomaly)
