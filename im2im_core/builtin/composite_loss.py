"""A sum of losses with weights, some of which come in slowly."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from im2im_core.builtin.loss_config import PartConfig, SumConfig


class SumLoss(nn.Module):
    """Sum of weighted losses. `set_epoch` says how far those that warm up have come.

    Args:
        config: weights and warm-ups.
        parts: the losses in the same order.
    """

    def __init__(self, config: SumConfig, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.settings = config.parts
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Epochs completed before this one, from 0."""
        self.epoch = epoch

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss; a part whose weight is still 0 is not computed."""
        total = prediction.sum() * 0
        for part, settings in zip(self.parts, self.settings, strict=True):
            weight = settings.weight * warmup_factor(settings, self.epoch)
            if weight:
                total = total + weight * part(prediction, target, costmap=costmap)
        return total


def warmup_factor(settings: PartConfig, epoch: int) -> float:
    """From 0 in the first epoch to 1 after `warmup_epochs`, on a line or half a cosine."""
    if epoch >= settings.warmup_epochs:
        return 1.0
    share = epoch / settings.warmup_epochs
    return share if settings.warmup == "linear" else (1 - math.cos(math.pi * share)) / 2
