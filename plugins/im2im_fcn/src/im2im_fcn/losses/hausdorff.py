"""A regularizer on errors far from the target's boundary."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_fcn.losses.regularizer_config import HausdorffConfig
from im2im_fcn.losses.targets import as_classes


class HausdorffLoss(nn.Module):
    """Squared errors of the foreground, weighted by their chessboard distance to foreground and background.

    After Karimi and Salcudean (IEEE TMI 39, 499, 2020), with distances of the target alone. Distances are exact unless
    `iterations` bounds how far they reach; pixels beyond then count as height + width, which overstates them. Where the
    cost map is 0 the prediction is taken to be the target, so it has no gradient there.
    """

    def __init__(self, config: HausdorffConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        logits, classes = as_classes(prediction, target, costmap, self.config.scale)
        found = logits.softmax(1)[:, 1:].amax(1, keepdim=True)
        foreground = (classes > 0)[:, None].to(logits.dtype)
        weights = self._weights(foreground)
        return ((found - foreground) ** 2 * weights).mean()

    def _weights(self, foreground: Tensor) -> Tensor:
        power = 2 if self.config.distance == "squared" else 1
        weights = self._distance(foreground) ** power + self._distance(1 - foreground) ** power
        if self.config.normalize:
            weights = weights / quantile(weights, 0.99).clamp(min=1)
        return weights

    def _distance(self, mask: Tensor) -> Tensor:
        if self.config.iterations == "exact":
            return exact_distance(mask)
        if self.config.iterations == "auto":
            return iterated_distance(mask, min(max(int(0.25 * min(mask.shape[2:])), 10), 200))
        return iterated_distance(mask, int(self.config.iterations))


def iterated_distance(mask: Tensor, iterations: int) -> Tensor:
    """Chessboard distance to the mask (B, 1, [Z,] Y, X) up to `iterations` pixels; height + width beyond."""
    inside = mask > 0
    distance = (~inside).float() * sum(mask.shape[-2:])
    pool = F.max_pool2d if mask.dim() == 4 else F.max_pool3d
    for _ in range(iterations):
        distance = torch.minimum(distance, 1 - pool(-distance, 3, 1, 1))
        distance = distance.masked_fill(inside, 0)
    return distance.to(mask.dtype)


def exact_distance(mask: Tensor) -> Tensor:
    """Chessboard distance to the mask (B, 1, [Z,] Y, X); height + width everywhere if a mask is empty."""
    far = float(sum(mask.shape[-2:]))
    outside = (mask <= 0).cpu().numpy()[:, 0]
    maps = [np.full(x.shape, far) if x.all() else distance_transform_cdt(x, "chessboard") for x in outside]
    return torch.from_numpy(np.stack(maps)[:, None]).to(mask.device, mask.dtype)


def quantile(values: Tensor, level: float) -> Tensor:
    """As torch.quantile, which refuses large images."""
    values = values.detach().flatten()
    rank = level * (values.numel() - 1)
    low, high = (torch.kthvalue(values, math.floor(rank) + step).values for step in (1, 1 + (rank % 1 > 0)))
    return torch.lerp(low, high, rank % 1)
