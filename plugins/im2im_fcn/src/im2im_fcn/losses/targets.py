"""What the regularizers are given, in one form: logits of two or more classes, and class numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from im2im_core import ConfigError
from im2im_core.targets import class_numbers, full_precision, one_hot

# Probability 1 to float32's last digit: what the target says of a pixel that takes no part.
_CERTAIN = 30.0


def as_classes(
    prediction: Tensor, target: Tensor, costmap: Tensor | None = None, scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Logits of two or more classes (B, K, [Z,] Y, X) and class numbers (B, [Z,] Y, X), for the regularizers.

    A single logit z becomes the two (0, z). Of a mask per class the class that is set counts, and the first is the
    background. Where the cost map is 0 the prediction is taken to be the target, so it
    has no gradient there and costs nothing. With a scale other than 1 logits are then interpolated linearly, classes
    by the nearest pixel.
    """
    classes = class_numbers(prediction, target)
    logits = full_precision(prediction)
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    if costmap is not None:
        counts = (costmap > 0).all(1, keepdim=True)
        logits = torch.where(counts, logits, _CERTAIN * one_hot(classes, logits.shape[1], logits.dtype))
    if scale != 1:
        mode = "bilinear" if logits.dim() == 4 else "trilinear"
        logits = F.interpolate(logits, scale_factor=scale, mode=mode, align_corners=False)
        numbers = classes[:, None].to(logits.dtype)
        classes = F.interpolate(numbers, size=logits.shape[2:], mode="nearest")[:, 0].long()
    return logits, classes


def check_class_weights(weights: Sequence[float] | None, outputs: int) -> None:
    """One weight per class, where a single output stands for two classes.

    Raises:
        ConfigError: the number of weights is another.
    """
    classes = max(outputs, 2)
    if weights is not None and len(weights) != classes:
        raise ConfigError(
            f"loss.class_weights: '{len(weights)}' weights for {classes} classes",
            "give one per class, background first",
        )
