"""Predictions of turned images in the directions of the image itself, so that their mean has a meaning.

Test-time augmentation as in Lalit et al. 2022 (Medical Image Analysis 81:102523): an offset that pointed right in a
mirrored image points left in the image, and after a quarter turn the offset along Y is one along X.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# tanh of more is 1 in float32, and its inverse infinite.
_LARGEST = 1 - 2**-23


def undo_turns(prediction: Tensor, *, turns: int, flip: bool, n_sigma: int, steps: Sequence[float]) -> Tensor:
    """Turn the directions of a prediction back; its pixels have been turned back already.

    Args:
        prediction: (B, D + n_sigma + 1, [Z], Y, X), raw: offsets x, y[, z] before tanh, sigmas, seed before the
            sigmoid; of an image that was mirrored along X, if so, and then turned by `torch.rot90` in (Y, X).
        turns: quarter turns of the image.
        flip: the image was mirrored.
        n_sigma: bandwidth channels, 1 or D.
        steps: spacing of the coordinates per axis, ([Z], Y, X).

    Returns:
        As `prediction`, of the image as it was.
    """
    dims = len(steps)
    x, y, *rest = prediction.float().split(1, dim=1)
    sigmas, others = rest[dims - 2 :][:n_sigma], rest[dims - 2 + n_sigma :]
    depth = rest[: dims - 2]
    # What is an offset along X of a turned image was told in steps of X, but spans pixels of Y.
    longer = steps[-2] / steps[-1]
    for _ in range(turns % 4):
        x, y = -_scaled(y, 1 / longer), _scaled(x, longer)
        if n_sigma > 1:
            # Bandwidths are exp(10 sigma), in 1 / length^2.
            along_x, along_y = sigmas[:2]
            sigmas[:2] = along_y + 0.2 * math.log(longer), along_x - 0.2 * math.log(longer)
    if flip:
        x = -x
    return torch.cat([x, y, *depth, *sigmas, *others], dim=1)


def _scaled(offset: Tensor, factor: float) -> Tensor:
    """An offset before tanh, multiplied after tanh."""
    if factor == 1:
        return offset
    return torch.atanh((torch.tanh(offset) * factor).clamp(-_LARGEST, _LARGEST))
