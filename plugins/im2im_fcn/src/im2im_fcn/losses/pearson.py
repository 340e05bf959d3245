"""A loss on correlation."""

from __future__ import annotations

from torch import Tensor, nn

from im2im_core.targets import full_precision, same_shape, weighted_mean
from im2im_fcn.losses.config import PearsonConfig


class PearsonLoss(nn.Module):
    """1 - Pearson's r between prediction and target in every channel of every sample, weighted by the cost map.

    r knows neither offset nor scale: without a second loss the prediction may be off by both. Where the target is
    constant r is taken to be 0. A channel in which no pixel counts takes no part.
    """

    def __init__(self, config: PearsonConfig) -> None:
        super().__init__()
        self.smooth = config.smooth

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        same_shape(prediction, target)
        prediction = full_precision(prediction)
        target = target.to(prediction.dtype)
        if costmap is None:
            weights = prediction.new_ones(prediction.shape)
        else:
            weights = costmap.to(prediction.dtype).expand_as(prediction)
            prediction = prediction.where(weights > 0, target)
        weights, prediction, target = (x.flatten(2) for x in (weights, prediction, target))
        total = weights.sum(2, keepdim=True)
        weights = weights / total.clamp(min=1e-12)
        prediction = prediction - (weights * prediction).sum(2, keepdim=True)
        target = target - (weights * target).sum(2, keepdim=True)
        covariance = (weights * prediction * target).sum(2)
        # Inside the root: the slope of a root is infinite at 0, where a constant image lies.
        spread = ((weights * prediction**2).sum(2) + self.smooth).sqrt()
        spread = spread * ((weights * target**2).sum(2) + self.smooth).sqrt()
        return weighted_mean(1 - covariance / spread, (total[..., 0] > 0).to(prediction.dtype))
