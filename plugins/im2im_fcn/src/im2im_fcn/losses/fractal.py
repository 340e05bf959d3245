"""A regularizer on the fractal dimension of the foreground."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core import DataError
from im2im_fcn.losses.regularizer_config import FractalDimensionConfig, FractalMode
from im2im_fcn.losses.targets import as_classes


class FractalDimensionLoss(nn.Module):
    """Squared difference of the box-counting dimensions of the foreground in prediction and target.

    `boxes` counts boxes with any foreground; `information` takes the entropy of how the foreground spreads over boxes.
    `boxes-biased`, where an empty box counts 0.38, and `mean-entropy`, which regresses an entropy that grows with the
    box and so is mostly 0, are the older definitions. Where the cost map is 0 the prediction is taken to be the target.
    """

    def __init__(self, config: FractalDimensionConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        logits, classes = as_classes(prediction, target, costmap)
        found = 1 - logits.softmax(1)[:, :1]
        wanted = (classes > 0)[:, None].to(logits.dtype)
        return F.mse_loss(self._dimension(found), self._dimension(wanted))

    def _dimension(self, foreground: Tensor) -> Tensor:
        if self.config.binary:
            foreground = binarize(foreground)
        return fractal_dimension(foreground, self.config.scales, self.config.mode)


def binarize(foreground: Tensor) -> Tensor:
    """0 or 1, with the gradient of the probability (straight through)."""
    return foreground + ((foreground > 0.5).to(foreground.dtype) - foreground).detach()


def fractal_dimension(foreground: Tensor, scales: int, mode: FractalMode) -> Tensor:
    """Dimension of each sample (B,) of foregrounds (B, 1, [Z,] Y, X), from boxes of 2, 4, .. 2^scales pixels.

    Raises:
        DataError: fewer than two sizes of boxes fit into the image.
    """
    sizes = [2**i for i in range(1, scales + 1)]
    if mode in ("boxes", "information"):
        fitting = [size for size in sizes if size <= min(foreground.shape[2:])]
        if len(fitting) < 2:
            raise DataError(
                f"an image of '{tuple(foreground.shape[2:])}' pixels is too small for a fractal dimension",
                "use larger patches, of 4 pixels or more along each axis",
            )
        sizes = fitting
    values = box_values(foreground, sizes, mode)
    if mode == "boxes":
        # A tenth of a box, so that the slope at an empty image stays moderate.
        values = (values + 0.1).log()
    elif mode == "boxes-biased":
        values = (values + 1e-8).log()
    x = torch.tensor([-math.log(size) for size in sizes], dtype=values.dtype, device=values.device)
    x = x - x.mean()
    slope = (x * (values - values.mean(1, keepdim=True))).sum(1) / ((x**2).sum() + 1e-8)
    # Clipped in the older definitions only: beyond the bounds there would be no gradient.
    return slope.clamp(0, foreground.dim() - 2) if mode in ("boxes-biased", "mean-entropy") else slope


def box_values(foreground: Tensor, sizes: list[int], mode: FractalMode) -> Tensor:
    """Count or entropy of each sample at each size of boxes (B, sizes); 0 where a box exceeds the image."""
    pool = F.avg_pool2d if foreground.dim() == 4 else F.avg_pool3d
    columns = []
    for size in sizes:
        if size > min(foreground.shape[2:]):
            columns.append(foreground.new_zeros(len(foreground)))
        else:
            columns.append(_value(pool(foreground, size).flatten(1), size ** (foreground.dim() - 2), mode))
    return torch.stack(columns, 1)


def _value(means: Tensor, volume: int, mode: FractalMode) -> Tensor:
    if mode == "information":
        shares = means.clamp(min=1e-6)
        shares = shares / shares.sum(1, keepdim=True)
        return -(shares * shares.log()).sum(1)
    if mode == "mean-entropy":
        p = (means * volume / (volume + 1e-8)).clamp(1e-6, 1 - 1e-6)
        return -(p * p.log2() + (1 - p) * (1 - p).log2()).mean(1)
    if mode == "boxes":
        # One pixel fills nine tenths of a box of any size, and an empty box has a slope.
        pixels = means * volume
        return (pixels / (pixels + 0.1)).sum(1)
    return torch.sigmoid(10 * (means - 0.05)).sum(1)
