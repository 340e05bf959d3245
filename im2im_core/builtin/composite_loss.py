"""A sum of losses with weights, some of which come in slowly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from im2im_core.builtin.loss_config import SumConfig, Warmup


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
        terms = [
            weight * part(prediction, target, costmap=costmap)
            for part, settings in zip(self.parts, self.settings, strict=True)
            if (weight := settings.weight * warmup_factor(self.epoch, settings.warmup_epochs, settings.warmup))
        ]
        # In the first epoch nothing may count yet, and there must still be something to differentiate.
        return torch.stack(terms).sum() if terms else prediction.sum() * 0


def warmup_factor(epoch: int, epochs: int, shape: Warmup = "linear") -> float:
    """From 0 in epoch 0 to 1 in epoch `epochs` and after it, on a line or half a cosine; always 1 with 0 epochs."""
    if epoch >= epochs:
        return 1.0
    share = epoch / epochs
    return share if shape == "linear" else (1 - math.cos(math.pi * share)) / 2
