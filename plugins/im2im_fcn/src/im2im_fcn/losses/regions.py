"""Losses on the overlap of regions, from MONAI."""

from __future__ import annotations

import torch
from monai.losses import FocalLoss, GeneralizedDiceLoss
from monai.losses import TverskyLoss as MonaiTversky
from torch import Tensor, nn

from im2im_core.targets import full_precision, independent, masks_of, probabilities_of, weighted_mean
from im2im_fcn.losses.config import GeneralizedDiceFocalConfig, TverskyConfig
from im2im_fcn.losses.targets import check_class_weights


def _regions(
    prediction: Tensor, target: Tensor, costmap: Tensor | None, include_background: bool
) -> tuple[Tensor, Tensor]:
    """Probabilities and masks without the pixels of cost map 0, and without class 0 unless it is all there is."""
    masks, probabilities = masks_of(prediction, target), probabilities_of(prediction, target)
    if costmap is not None:
        # Masked after the activation: a logit of 0 would still be a probability.
        counts = (costmap > 0).expand_as(masks)
        nothing = torch.zeros_like(masks)
        probabilities, masks = torch.where(counts, probabilities, nothing), torch.where(counts, masks, nothing)
    if not include_background and masks.shape[1] > 1:
        probabilities, masks = probabilities[:, 1:], masks[:, 1:]
    return probabilities, masks


class GeneralizedDiceFocalLoss(nn.Module):
    """Generalized Dice (Sudre et al., DLMIA 2017) plus focal loss (Lin et al., ICCV 2017), as MONAI combines them.

    Dice takes probabilities of a softmax, while the focal part asks of each class by itself whether a pixel belongs to
    it, unless `focal_softmax` is set. Class weights act in the focal part. Pixels with cost map 0 are left out; in the
    focal part the others count by their cost.
    """

    def __init__(self, config: GeneralizedDiceFocalConfig) -> None:
        super().__init__()
        self.config = config
        self.dice = GeneralizedDiceLoss(smooth_nr=config.smooth, smooth_dr=config.smooth)

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        prediction = full_precision(prediction)
        regions: Tensor = self.dice(*_regions(prediction, target, costmap, self.config.include_background))
        focal = self._focal(prediction, target, costmap)
        # A cost map for every class has one for the background too.
        pixels = weighted_mean(focal, costmap if costmap is None else costmap[:, -focal.shape[1] :])
        return self.config.dice_weight * regions + self.config.focal_weight * pixels

    def _focal(self, prediction: Tensor, target: Tensor, costmap: Tensor | None) -> Tensor:
        weights = self.config.class_weights
        check_class_weights(weights, prediction.shape[1])
        masks = masks_of(prediction, target)
        softmax = self.config.focal_softmax and not independent(prediction, target)
        if costmap is not None:
            prediction = torch.where(costmap > 0, prediction, torch.zeros_like(prediction))
        values: Tensor = FocalLoss(gamma=self.config.gamma, use_softmax=softmax, reduction="none")(prediction, masks)
        if weights is not None and prediction.shape[1] == 1:
            values = values * torch.where(masks > 0, weights[1], weights[0])
        elif weights is not None:
            shape = (1, len(weights), *[1] * (values.dim() - 2))
            values = values * torch.as_tensor(weights, dtype=values.dtype, device=values.device).view(shape)
        first = 0 if self.config.include_background or values.shape[1] == 1 else 1
        return values[:, first:]


class TverskyLoss(nn.Module):
    """Overlap in which false positives and false negatives weigh differently (Salehi et al., MLMI 2017).

    With both weights at 0.5 it is the Dice loss. Pixels with cost map 0 are left out, all others count alike.
    """

    def __init__(self, config: TverskyConfig) -> None:
        super().__init__()
        self.config = config
        self.tversky = MonaiTversky(
            alpha=config.false_positives,
            beta=config.false_negatives,
            smooth_nr=config.smooth,
            smooth_dr=config.smooth,
        )

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        loss: Tensor = self.tversky(
            *_regions(full_precision(prediction), target, costmap, self.config.include_background)
        )
        return loss
