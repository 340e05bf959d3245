"""The plug-in that ships with the core. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable

from im2im_core.builtin.data_declarations import LOSSES, TRANSFORMS
from im2im_core.builtin.dataset_declarations import DATASETS
from im2im_core.builtin.metric_declarations import METRICS
from im2im_core.builtin.postprocessing import POSTPROCESSORS
from im2im_core.builtin.trainer_declarations import TRAINERS
from im2im_core.components import Dataset, Loss, Metric, Postprocessor, Trainer, Transform
from im2im_core.hookspecs import hookimpl

IM2IM_API = 1


@hookimpl
def im2im_datasets() -> Iterable[Dataset]:
    """Pairs of images, and images that are no pairs."""
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
def im2im_postprocessors() -> Iterable[Postprocessor]:
    """From logits to classes."""
    return POSTPROCESSORS


@hookimpl
def im2im_metrics() -> Iterable[Metric]:
    """The usual metrics."""
    return METRICS


@hookimpl
def im2im_trainers() -> Iterable[Trainer]:
    """Lightning."""
    return TRAINERS
