"""The loss of Schmidt et al., MICCAI 2018. Imported by a factory only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_stars.targets import star_targets


class StarLoss(nn.Module):
    """Binary cross entropy of the object probability p plus, weighted by p, the mean absolute error of the distances.

    Distances that are predicted in the background have no truth, and are drawn to 0 a little.

    Args:
        distance_weight: lambda_d of the paper.
        background_weight: lambda_reg of the paper.
    """

    def __init__(self, distance_weight: float, background_weight: float) -> None:
        super().__init__()
        self.distance_weight = distance_weight
        self.background_weight = background_weight

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Loss of a batch.

        Args:
            prediction: (B, 1 + rays, Y, X): logit of the object probability, distances in pixels.
            target: (B, 1, Y, X) labels, 0 = background.
            costmap: (B, 1, Y, X), not negative: weight of each pixel. The prediction at a pixel of 0 has no influence;
                its label still ends the rays of its neighbours.

        Returns:
            Scalar float32, the weighted mean over the pixels.

        Raises:
            ValueError: shapes do not fit.
        """
        wanted = (len(prediction), 1, *prediction.shape[2:])
        for name, given in {"target": target, "costmap": costmap}.items():
            if given is not None and tuple(given.shape) != wanted:
                raise ValueError(f"{name} has shape {tuple(given.shape)}, expected {wanted}")
        # Distances of large objects are too long for half precision.
        with torch.autocast(prediction.device.type, enabled=False):
            loss = self._of_pixels(prediction.float(), target)
        if costmap is None:
            return loss.mean()
        weight = costmap.to(loss).clamp_min(0)
        return (loss * weight).sum() / weight.sum().clamp_min(1)

    def _of_pixels(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, 1, Y, X)."""
        probability, distance = star_targets(target, prediction.shape[1] - 1)
        entropy = F.binary_cross_entropy_with_logits(prediction[:, :1], probability, reduction="none")
        error = (prediction[:, 1:] - distance).abs().mean(1, keepdim=True)
        # In the background the true distance is 0, so the error is the length of what was predicted.
        weight = torch.where(probability > 0, probability, self.background_weight)
        return entropy + self.distance_weight * weight * error
