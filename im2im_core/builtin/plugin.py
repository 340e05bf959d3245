"""The plug-in that ships with the core. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable

from im2im_core.builtin.data_declarations import DATASETS, LOSSES, TRANSFORMS
from im2im_core.builtin.metric_declarations import METRICS
from im2im_core.builtin.trainer_declarations import TRAINERS
from im2im_core.components import Dataset, Loss, Metric, Trainer, Transform
from im2im_core.hookspecs import hookimpl

IM2IM_API = 1


@hookimpl
def im2im_datasets() -> Iterable[Dataset]:
    """Pairs of images."""
    return DATASETS


@hookimpl
def im2im_transforms() -> Iterable[Transform]:
    """Normalizations; MONAI's transforms need no declaration."""
    return TRANSFORMS


@hookimpl
def im2im_losses() -> Iterable[Loss]:
    """The usual losses."""
    return LOSSES


@hookimpl
def im2im_metrics() -> Iterable[Metric]:
    """The usual metrics."""
    return METRICS


@hookimpl
def im2im_trainers() -> Iterable[Trainer]:
    """Lightning."""
    return TRAINERS
