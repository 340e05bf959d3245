"""Transforms and losses that ship with the core. Nothing heavy is loaded before one is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from im2im_core.builtin.loss_config import (
    BceConfig,
    CrossEntropyConfig,
    DiceConfig,
    DiceFocalConfig,
    HuberConfig,
    SsimConfig,
    SumConfig,
)
from im2im_core.builtin.transform_config import NormalizeConfig, NormalizePercentileConfig
from im2im_core.components import ComponentConfig, Loss, Task, Transform
from im2im_core.interfaces import Sample

if TYPE_CHECKING:
    from torch import nn

IMAGES: tuple[Task, ...] = ("restoration", "translation", "regression", "generation")
# Structure and correlation need more than the one number of a regression.
STRUCTURES: tuple[Task, ...] = ("restoration", "translation", "generation")
CLASSES: tuple[Task, ...] = ("semantic-segmentation",)


def _percentile(config: NormalizePercentileConfig) -> Callable[[Sample], Sample]:
    from im2im_core.builtin.transforms import build_percentile

    return build_percentile(config)


def _zscore(config: NormalizeConfig) -> Callable[[Sample], Sample]:
    from im2im_core.builtin.transforms import build_zscore

    return build_zscore(config)


def _minmax(config: NormalizeConfig) -> Callable[[Sample], Sample]:
    from im2im_core.builtin.transforms import build_minmax

    return build_minmax(config)


def _mse(config: ComponentConfig) -> nn.Module:
    from im2im_core.builtin.losses import mse

    return mse(config)


def _l1(config: ComponentConfig) -> nn.Module:
    from im2im_core.builtin.losses import l1

    return l1(config)


def _huber(config: HuberConfig) -> nn.Module:
    from im2im_core.builtin.losses import huber

    return huber(config)


def _ssim(config: SsimConfig, *, spatial_dims: int) -> nn.Module:
    from im2im_core.builtin.losses import SsimLoss

    return SsimLoss(config, spatial_dims)


def _cross_entropy(config: CrossEntropyConfig) -> nn.Module:
    from im2im_core.builtin.losses import CrossEntropyLoss

    return CrossEntropyLoss(config)


def _bce(config: BceConfig) -> nn.Module:
    from im2im_core.builtin.losses import BceLoss

    return BceLoss(config)


def _dice(config: DiceConfig) -> nn.Module:
    from im2im_core.builtin.losses import build_dice

    return build_dice(config)


def _generalized_dice(config: DiceConfig) -> nn.Module:
    from im2im_core.builtin.losses import build_generalized_dice

    return build_generalized_dice(config)


def _dice_focal(config: DiceFocalConfig) -> nn.Module:
    from im2im_core.builtin.losses import DiceFocalLoss

    return DiceFocalLoss(config)


def _sum(config: SumConfig, *, parts: Any) -> nn.Module:
    from im2im_core.builtin.composite_loss import SumLoss

    return SumLoss(config, parts)


TRANSFORMS: tuple[Transform, ...] = (
    Transform(
        name="normalize-percentile",
        summary="intensities from a low to a high percentile become 0 to 1",
        config=NormalizePercentileConfig,
        factory=_percentile,
    ),
    Transform(
        name="normalize-zscore",
        summary="mean 0 and standard deviation 1",
        config=NormalizeConfig,
        factory=_zscore,
    ),
    Transform(
        name="normalize-minmax",
        summary="intensities from minimum to maximum become 0 to 1",
        config=NormalizeConfig,
        factory=_minmax,
    ),
)

LOSSES: tuple[Loss, ...] = (
    Loss(
        name="sum",
        summary="weighted losses added up, some of them from a later epoch on",
        config=SumConfig,
        factory=_sum,
        composite=True,
    ),
    Loss(name="mse", summary="mean squared error, weighted by the cost map", factory=_mse, tasks=IMAGES),
    Loss(name="l1", summary="mean absolute error, weighted by the cost map", factory=_l1, tasks=IMAGES),
    Loss(
        name="huber",
        summary="squared for small errors, absolute for large ones, weighted by the cost map",
        config=HuberConfig,
        factory=_huber,
        tasks=IMAGES,
    ),
    Loss(
        name="ssim",
        summary="1 - structural similarity, weighted by the cost map",
        config=SsimConfig,
        factory=_ssim,
        tasks=STRUCTURES,
    ),
    Loss(
        name="cross-entropy",
        summary="cross entropy over classes, weighted by class and cost map",
        config=CrossEntropyConfig,
        factory=_cross_entropy,
        tasks=CLASSES,
    ),
    Loss(
        name="bce",
        summary="binary cross entropy of each output, weighted by the cost map",
        config=BceConfig,
        factory=_bce,
        tasks=CLASSES,
    ),
    Loss(
        name="dice",
        summary="overlap of regions, without pixels of cost map 0",
        config=DiceConfig,
        factory=_dice,
        tasks=CLASSES,
    ),
    Loss(
        name="generalized-dice",
        summary="overlap of regions, rare classes counting more, without pixels of cost map 0",
        config=DiceConfig,
        factory=_generalized_dice,
        tasks=CLASSES,
    ),
    Loss(
        name="dice-focal",
        summary="overlap of regions plus focal loss of pixels, without pixels of cost map 0",
        config=DiceFocalConfig,
        factory=_dice_focal,
        tasks=CLASSES,
    ),
)
