"""The usual losses, each `(prediction, target, costmap=None) -> scalar`.

Shapes are (B, K, [Z,] Y, X) for the prediction and (B, C, [Z,] Y, X) for target and cost map (C = 1, or as the target).
Predictions of segmentation losses are logits. With K = 1 every target above 0 is foreground; with K > 1 a target of one
channel holds class numbers, and one of K channels a mask for each class.
"""

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
from im2im_core.errors import ConfigError, DataError

PixelError = Callable[[Tensor, Tensor], Tensor]


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over all pixels, each counting by its cost map; 0 with a gradient of 0 where nothing counts."""
    if weights is None:
        return values.mean()
    weights = weights.to(values.dtype).expand_as(values)
    # Not 0 * value: a pixel that does not count may hold anything, also infinity.
    counted = torch.where(weights > 0, values * weights, torch.zeros_like(values))
    return counted.sum() / weights.sum().clamp(min=torch.finfo(values.dtype).tiny)


class PixelLoss(nn.Module):
    """Mean of a pixel-wise error, weighted by the cost map."""

    def __init__(self, error: PixelError) -> None:
        super().__init__()
        self.error = error

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        _same_shape(prediction, target)
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
        _same_shape(prediction, target)
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
        weights = None if config.class_weights is None else torch.tensor(config.class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        if prediction.shape[1] == 1:
            masks = _masks(prediction, target)
            return weighted_mean(F.binary_cross_entropy_with_logits(prediction, masks, reduction="none"), costmap)
        weights: Any = self.class_weights
        if weights is not None and len(weights) != prediction.shape[1]:
            raise ConfigError(
                f"loss.class_weights: {len(weights)} weights for {prediction.shape[1]} classes", "give one per class"
            )
        classes = _classes(prediction, target)
        try:
            values = F.cross_entropy(
                prediction, classes, weight=weights, reduction="none", label_smoothing=self.label_smoothing
            )
        except (IndexError, RuntimeError) as error:
            raise _bad_classes(prediction, target) from error
        counted = torch.ones_like(values) if costmap is None else costmap[:, 0].to(values.dtype)
        # As torch does: a mean over weights, not over pixels.
        normalizer = counted if weights is None else counted * weights[classes]
        total = torch.where(counted > 0, values * counted, torch.zeros_like(values)).sum()
        return total / normalizer.sum().clamp(min=torch.finfo(values.dtype).tiny)


class BceLoss(nn.Module):
    """Binary cross entropy of each output by itself, weighted by the cost map."""

    def __init__(self, config: BceConfig) -> None:
        super().__init__()
        weight = None if config.positive_weight is None else torch.tensor(config.positive_weight)
        self.register_buffer("positive_weight", weight, persistent=False)

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        weight: Any = self.positive_weight
        masks = _masks(prediction, target)
        values = F.binary_cross_entropy_with_logits(prediction, masks, reduction="none", pos_weight=weight)
        return weighted_mean(values, costmap)


class RegionLoss(nn.Module):
    """A loss of MONAI's on probabilities and masks; pixels with cost map 0 are left out, all others count alike."""

    def __init__(self, region: nn.Module) -> None:
        super().__init__()
        self.region = region

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        masks = _masks(prediction, target)
        probabilities = prediction.sigmoid() if _independent(prediction, target) else prediction.softmax(1)
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
        masks = _masks(prediction, target)
        focal = FocalLoss(gamma=self.config.gamma, use_softmax=not _independent(prediction, target), reduction="none")
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


def _independent(prediction: Tensor, target: Tensor) -> bool:
    """Each channel is a question of its own: one output only, or a target mask for each."""
    return prediction.shape[1] == 1 or target.shape[1] == prediction.shape[1]


def _masks(prediction: Tensor, target: Tensor) -> Tensor:
    """Target as one mask per output."""
    if _independent(prediction, target):
        _same_shape(prediction, target)
        return (target > 0).to(prediction.dtype)
    classes = _classes(prediction, target)
    try:
        return F.one_hot(classes, prediction.shape[1]).movedim(-1, 1).to(prediction.dtype)
    except RuntimeError as error:
        raise _bad_classes(prediction, target) from error


def _classes(prediction: Tensor, target: Tensor) -> Tensor:
    """Class numbers (B, [Z,] Y, X); of a mask per class the class that is set."""
    if target.shape[2:] != prediction.shape[2:] or target.shape[1] not in (1, prediction.shape[1]):
        _same_shape(prediction, target)
    return target[:, 0].long() if target.shape[1] == 1 else target.argmax(1)


def _same_shape(prediction: Tensor, target: Tensor) -> None:
    # Broadcasting would hide the difference and train on nonsense.
    if prediction.shape != target.shape:
        raise DataError(
            f"the prediction has shape '{tuple(prediction.shape)}', the target '{tuple(target.shape)}'",
            "the model's outputs and the channels of the target must agree; check model and loss",
        )


def _bad_classes(prediction: Tensor, target: Tensor) -> DataError:
    return DataError(
        f"the target holds class '{int(target.max())}' (least '{int(target.min())}'), the model has "
        f"{prediction.shape[1]} outputs for classes 0 to {prediction.shape[1] - 1}",
        "give the model an output for every class, or number the classes from 0",
    )
