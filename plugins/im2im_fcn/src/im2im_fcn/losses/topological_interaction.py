"""A regularizer on which classes may touch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core import ConfigError
from im2im_fcn.losses.regularizer_config import TopologicalInteractionConfig
from im2im_fcn.losses.targets import as_classes


class TopologicalInteractionLoss(nn.Module):
    """Cross entropy of those pixels that break a rule on neighbouring classes (Gupta et al., ECCV 2022).

    `inclusion` (A, C): A lies within C and touches nothing else; `exclusion` (A, C): A and C do not touch. Averaged
    over pixels; `reduction: sum`, where the value grows with the image, adds them up in each sample instead.
    The thickness holds across faces too, where a published tool ignores it.
    Pixels with cost map 0 are taken to be as in the target and are not penalized.
    """

    def __init__(self, config: TopologicalInteractionConfig) -> None:
        super().__init__()
        if not config.inclusion and not config.exclusion:
            raise ConfigError("loss: topological-interaction has no rule", "set inclusion or exclusion, as [[1, 2]]")
        self.config = config

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        logits, classes = as_classes(prediction, target, costmap)
        self._check(logits.shape[1])
        critical = self.critical_pixels(logits.detach().argmax(1))
        if costmap is not None:
            critical = critical & (costmap > 0).all(1)
        values = F.cross_entropy(logits, classes, reduction="none") * critical
        if self.config.reduction == "sum":
            return values.sum() / len(values)
        return values.sum() / (values.numel() if costmap is None else (costmap > 0).all(1).sum().clamp(min=1))

    def critical_pixels(self, classes: Tensor) -> Tensor:
        """Pixels (B, [Z,] Y, X) of the class map that break one of the rules, on both sides of the contact."""
        critical = torch.zeros_like(classes, dtype=torch.bool)
        for inner, outer in self.config.inclusion:
            critical |= self._contacts(classes == inner, (classes != inner) & (classes != outer))
        for one, other in self.config.exclusion:
            critical |= self._contacts(classes == one, classes == other)
        return critical

    def _contacts(self, one: Tensor, other: Tensor) -> Tensor:
        near_one, near_other = (
            dilate(mask, self.config.neighbors == "all", self.config.thickness) for mask in (one, other)
        )
        return (one & near_other) | (other & near_one)

    def _check(self, classes: int) -> None:
        for name in ("inclusion", "exclusion"):
            for rule in getattr(self.config, name):
                if max(rule) >= classes:
                    raise ConfigError(
                        f"loss.{name}: class '{max(rule)}' of a model with classes 0 to {classes - 1}",
                        "number the classes from 0",
                    )


def dilate(mask: Tensor, corners: bool, steps: int) -> Tensor:
    """Grow (B, [Z,] Y, X) masks by a number of pixels, over faces only or over corners too."""
    grown = mask[:, None].float()
    pool = F.max_pool2d if grown.dim() == 4 else F.max_pool3d
    dims = grown.dim() - 2
    if corners:
        grown = pool(grown, 2 * steps + 1, 1, steps)
        return grown[:, 0] > 0
    kernels = [tuple(3 if axis == other else 1 for other in range(dims)) for axis in range(dims)]
    for _ in range(steps):
        lines = [pool(grown, kernel, 1, tuple(size // 2 for size in kernel)) for kernel in kernels]
        grown = torch.stack(lines).amax(0)
    return grown[:, 0] > 0
