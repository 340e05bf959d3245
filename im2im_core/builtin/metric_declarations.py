"""The metrics that ship with the core. Nothing heavy is loaded before one is built."""

from __future__ import annotations

from functools import partial

from im2im_core.builtin.metric_config import (
    AveragePrecisionConfig,
    FeatureDistanceConfig,
    InstanceIouConfig,
    IntensityRangeConfig,
    OverlapConfig,
)
from im2im_core.components import ComponentConfig, Metric, Task
from im2im_core.interfaces import ScoreArrays, ScoreSets

IMAGE_TASKS: tuple[Task, ...] = ("restoration", "translation", "regression", "generation")


def _average_precision(config: AveragePrecisionConfig) -> ScoreArrays:
    from im2im_core.builtin.instance_metrics import average_precision

    return partial(average_precision, thresholds=config.thresholds)


def _instance_iou(config: InstanceIouConfig) -> ScoreArrays:
    from im2im_core.builtin.instance_metrics import instance_iou

    return partial(instance_iou, **config.model_dump())


def _dice(config: OverlapConfig) -> ScoreArrays:
    from im2im_core.builtin.class_metrics import dice

    return partial(dice, **config.model_dump())


def _iou(config: OverlapConfig) -> ScoreArrays:
    from im2im_core.builtin.class_metrics import iou

    return partial(iou, **config.model_dump())


def _psnr(config: IntensityRangeConfig) -> ScoreArrays:
    from im2im_core.builtin.metrics import psnr

    return partial(psnr, data_range=config.data_range)


def _ssim(config: IntensityRangeConfig) -> ScoreArrays:
    from im2im_core.builtin.metrics import ssim

    return partial(ssim, data_range=config.data_range)


def _pearson(config: ComponentConfig) -> ScoreArrays:
    from im2im_core.builtin.metrics import pearson

    return pearson


def _mae(config: ComponentConfig) -> ScoreArrays:
    from im2im_core.builtin.metrics import mae

    return mae


def _rmse(config: ComponentConfig) -> ScoreArrays:
    from im2im_core.builtin.metrics import rmse

    return rmse


def _frechet(config: FeatureDistanceConfig) -> ScoreSets:
    from im2im_core.builtin.set_metrics import frechet_distance

    return partial(frechet_distance, tile=config.tile)


def _kernel(config: FeatureDistanceConfig) -> ScoreSets:
    from im2im_core.builtin.set_metrics import kernel_distance

    return partial(kernel_distance, tile=config.tile)


def _histogram(config: ComponentConfig) -> ScoreSets:
    from im2im_core.builtin.set_metrics import histogram_distance

    return histogram_distance


METRICS: tuple[Metric, ...] = (
    Metric(
        name="average-precision",
        summary="objects: AP = TP/(TP+FP+FN) at IoU thresholds, precision, recall, F1, panoptic quality",
        config=AveragePrecisionConfig,
        factory=_average_precision,
        tasks=("instance-segmentation",),
        primary="ap@0.50",
    ),
    Metric(
        name="instance-iou",
        summary="objects: how well each is covered by all that was predicted inside it",
        config=InstanceIouConfig,
        factory=_instance_iou,
        tasks=("instance-segmentation",),
        primary="instance_iou",
    ),
    Metric(
        name="dice",
        summary="class maps: Dice coefficient, per class and mean",
        config=OverlapConfig,
        factory=_dice,
        tasks=("semantic-segmentation",),
        primary="dice",
    ),
    Metric(
        name="iou",
        summary="class maps: intersection over union, per class and mean",
        config=OverlapConfig,
        factory=_iou,
        tasks=("semantic-segmentation",),
        primary="iou",
    ),
    Metric(
        name="psnr",
        summary="images: peak signal-to-noise ratio in decibel",
        config=IntensityRangeConfig,
        factory=_psnr,
        tasks=IMAGE_TASKS,
        primary="psnr",
    ),
    Metric(
        name="ssim",
        summary="images: structural similarity, averaged over planes",
        config=IntensityRangeConfig,
        factory=_ssim,
        tasks=IMAGE_TASKS,
        primary="ssim",
    ),
    Metric(
        name="pearson",
        summary="images: Pearson correlation over all pixels",
        factory=_pearson,
        tasks=IMAGE_TASKS,
        primary="pearson",
    ),
    Metric(
        name="mae",
        summary="images: mean absolute error in the target's units",
        factory=_mae,
        tasks=IMAGE_TASKS,
        higher_is_better=False,
        primary="mae",
    ),
    Metric(
        name="rmse",
        summary="images: root mean square error in the target's units",
        factory=_rmse,
        tasks=IMAGE_TASKS,
        higher_is_better=False,
        primary="rmse",
    ),
    Metric(
        name="frechet-distance",
        summary="sets of images: Frechet distance between features of texture; no pairs needed, no FID",
        config=FeatureDistanceConfig,
        factory=_frechet,
        tasks=IMAGE_TASKS,
        of_sets=True,
        higher_is_better=False,
        primary="frechet_distance",
    ),
    Metric(
        name="kernel-distance",
        summary="sets of images: kernel distance between features of texture, for small sets; no pairs needed, no KID",
        config=FeatureDistanceConfig,
        factory=_kernel,
        tasks=IMAGE_TASKS,
        of_sets=True,
        higher_is_better=False,
        primary="kernel_distance",
    ),
    Metric(
        name="histogram-distance",
        summary="sets of images: Wasserstein distance between intensities, in the target's units; no pairs needed",
        factory=_histogram,
        tasks=IMAGE_TASKS,
        of_sets=True,
        higher_is_better=False,
        primary="histogram_distance",
    ),
)
