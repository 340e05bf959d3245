"""The usual losses, each `(prediction, target, costmap=None) -> scalar`; see `im2im_core.targets` for shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.losses import DiceLoss, FocalLoss, GeneralizedDiceLoss
from monai.metrics.regression import compute_ssim_and_cs
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core.builtin.loss_config import (
    BceConfig,
    CrossEntropyConfig,
    DiceConfig,
    DiceFocalConfig,
    HuberConfig,
    SsimConfig,
)
from im2im_core.components import ComponentConfig
from im2im_core.errors import ConfigError
from im2im_core.targets import class_numbers, independent, masks_of, probabilities_of, same_shape, weighted_mean

PixelError = Callable[[Tensor, Tensor], Tensor]


class PixelLoss(nn.Module):
    """Mean of a pixel-wise error, weighted by the cost map."""

    def __init__(self, error: PixelError) -> None:
        super().__init__()
        self.error = error

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        same_shape(prediction, target)
        return weighted_mean(self.error(prediction, target.to(prediction.dtype)), costmap)


class SsimLoss(nn.Module):
    """1 - SSIM with a Gaussian window, averaged over the pixels that count (Wang et al., IEEE TIP 13, 600, 2004).

    Where the cost map is 0 the prediction is taken to be right, so it has no gradient there.
    """

    def __init__(self, config: SsimConfig, spatial_dims: int) -> None:
        super().__init__()
        if config.window % 2 == 0:
            raise ConfigError(f"loss.window: an odd number is needed (got '{config.window}')", "try one more or less")
        self.config = config
        self.spatial_dims = spatial_dims

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        same_shape(prediction, target)
        target = target.to(prediction.dtype)
        if costmap is not None:
            prediction = torch.where(costmap > 0, prediction, target)
        # In a thin stack the window cannot be longer than the stack.
        window = [min(self.config.window, length - 1 + length % 2) for length in target.shape[2:]]
        similarity, _ = compute_ssim_and_cs(
            y_pred=prediction,
            y=target,
            spatial_dims=self.spatial_dims,
            kernel_size=window,
            kernel_sigma=[self.config.sigma] * self.spatial_dims,
            data_range=self.config.data_range,
        )
        if costmap is not None:
            valid = [slice(w // 2, n - w // 2) for w, n in zip(window, target.shape[2:], strict=True)]
            costmap = costmap[(slice(None), slice(None), *valid)]
        return weighted_mean(1 - similarity, costmap)


class CrossEntropyLoss(nn.Module):
    """Cross entropy over classes, weighted by class and cost map. A single output is compared as foreground."""

    def __init__(self, config: CrossEntropyConfig) -> None:
        super().__init__()
        self.label_smoothing = config.label_smoothing
        self.ignore_index = config.ignore_index
        weights = None if config.class_weights is None else torch.tensor(config.class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss; 0 with a gradient of 0 where no pixel counts."""
        classes, ignored = self._classes(prediction, target)
        if prediction.shape[1] == 1:
            # The sigmoid of one output is the softmax of it beside a background of 0.
            prediction = torch.cat([torch.zeros_like(prediction), prediction], dim=1)
        weights: Any = self.class_weights
        if weights is not None and len(weights) != prediction.shape[1]:
            raise ConfigError(
                f"loss.class_weights: {len(weights)} weights for {prediction.shape[1]} classes", "give one per class"
            )
        values = F.cross_entropy(
            prediction, classes, weight=weights, reduction="none", label_smoothing=self.label_smoothing
        )
        counted = torch.ones_like(values) if costmap is None else costmap[:, 0].to(values.dtype)
        if ignored is not None:
            counted = counted.masked_fill(ignored, 0)
        # As torch does: a mean over weights, not over pixels.
        normalizer = counted if weights is None else counted * weights[classes]
        total = torch.where(counted > 0, values * counted, torch.zeros_like(values)).sum()
        return total / normalizer.sum().clamp(min=torch.finfo(values.dtype).tiny)

    def _classes(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Class of every pixel, and which pixels are ignored; their number need not be one of a class."""
        if self.ignore_index is None:
            return class_numbers(prediction, target), None
        if target.shape[1] > 1:
            classes = class_numbers(prediction, target)
            return classes, classes == self.ignore_index
        ignored = target == self.ignore_index
        return class_numbers(prediction, target.masked_fill(ignored, 0)), ignored[:, 0]


class BceLoss(nn.Module):
    """Binary cross entropy of each output by itself, weighted by the cost map."""

    def __init__(self, config: BceConfig) -> None:
        super().__init__()
        weight = None if config.positive_weight is None else torch.tensor(config.positive_weight)
        self.register_buffer("positive_weight", weight, persistent=False)

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        weight: Any = self.positive_weight
        masks = masks_of(prediction, target)
        values = F.binary_cross_entropy_with_logits(prediction, masks, reduction="none", pos_weight=weight)
        return weighted_mean(values, costmap)


class RegionLoss(nn.Module):
    """A loss of MONAI's on probabilities and masks; pixels with cost map 0 are left out, all others count alike."""

    def __init__(self, region: nn.Module) -> None:
        super().__init__()
        self.region = region

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        masks = masks_of(prediction, target)
        probabilities = probabilities_of(prediction, target)
        if costmap is not None:
            # Masked after the activation: a logit of 0 would still be a probability.
            counts = costmap > 0
            probabilities, masks = probabilities * counts, masks * counts
        loss: Tensor = self.region(probabilities, masks)
        return loss


class DiceFocalLoss(nn.Module):
    """Dice of regions plus focal loss of pixels (Lin et al., ICCV 2017), both leaving out pixels with cost map 0."""

    def __init__(self, config: DiceFocalConfig) -> None:
        super().__init__()
        self.config = config
        self.dice = build_dice(config)

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        masks = masks_of(prediction, target)
        focal = FocalLoss(gamma=self.config.gamma, use_softmax=not independent(prediction, target), reduction="none")
        pixels = weighted_mean(focal(prediction, masks), costmap)
        regions: Tensor = self.dice(prediction, target, costmap)
        return self.config.dice_weight * regions + self.config.focal_weight * pixels


def mse(config: ComponentConfig) -> PixelLoss:
    """Mean squared error."""
    return PixelLoss(lambda prediction, target: (prediction - target) ** 2)


def l1(config: ComponentConfig) -> PixelLoss:
    """Mean absolute error."""
    return PixelLoss(lambda prediction, target: (prediction - target).abs())


def huber(config: HuberConfig) -> PixelLoss:
    """Squared for small errors, absolute for large ones."""
    return PixelLoss(lambda prediction, target: F.huber_loss(prediction, target, reduction="none", delta=config.delta))


def build_dice(config: DiceConfig) -> RegionLoss:
    """Dice loss (Milletari et al., 3DV 2016)."""
    return RegionLoss(
        _Background(DiceLoss(smooth_nr=config.smooth, smooth_dr=config.smooth), config.include_background)
    )


def build_generalized_dice(config: DiceConfig) -> RegionLoss:
    """Generalized Dice loss, classes weighted by their rarity (Sudre et al., DLMIA 2017)."""
    loss = GeneralizedDiceLoss(smooth_nr=config.smooth, smooth_dr=config.smooth)
    return RegionLoss(_Background(loss, config.include_background))


class _Background(nn.Module):
    """Leaves out class 0 on request, but never the only channel."""

    def __init__(self, loss: nn.Module, include: bool) -> None:
        super().__init__()
        self.loss = loss
        self.include = include

    def forward(self, probabilities: Tensor, masks: Tensor) -> Tensor:
        if not self.include and probabilities.shape[1] > 1:
            probabilities, masks = probabilities[:, 1:], masks[:, 1:]
        result: Tensor = self.loss(probabilities, masks)
        return result
