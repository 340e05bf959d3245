"""A loss on the distance between boundaries."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from im2im_core import ConfigError
from im2im_core.targets import full_precision, independent, masks_of, probabilities_of, weighted_mean
from im2im_fcn.losses.config import BoundaryConfig


class BoundaryLoss(nn.Module):
    """Mean of probability times signed distance to the target's boundary (Kervadec et al., MIDL 2019).

    Negative for a good prediction. Meant beside a loss on regions: alone it is also content with an empty image. Pixels
    with cost map 0 are left out; distances are those of the whole target.
    """

    def __init__(self, config: BoundaryConfig, spatial_dims: int) -> None:
        super().__init__()
        if config.pixel_size is not None and len(config.pixel_size) != spatial_dims:
            raise ConfigError(
                f"loss.pixel_size: '{len(config.pixel_size)}' numbers for {spatial_dims} axes", "give one per axis"
            )
        self.config = config

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        prediction = full_precision(prediction)
        masks, probabilities = masks_of(prediction, target), probabilities_of(prediction, target)
        # Masks that are questions of their own have no background among them.
        if not self.config.include_background and not independent(prediction, target):
            masks, probabilities = masks[:, 1:], probabilities[:, 1:]
        if costmap is not None:
            # One for every class has one for the background too.
            costmap = costmap[:, -masks.shape[1] :]
        images = masks.detach().flatten(0, 1).cpu().numpy()
        distances = [signed_distance(image, self.config.pixel_size) for image in images]
        weights = torch.from_numpy(np.stack(distances)).to(masks).view_as(masks)
        return weighted_mean(probabilities * weights, costmap)


def signed_distance(mask: np.ndarray, pixel_size: tuple[float, ...] | None = None) -> np.ndarray:
    """Distance to the nearest pixel of the mask outside it, minus that to its own rim inside; 0 without a boundary."""
    inside = mask > 0
    if inside.all() or not inside.any():
        return np.zeros(mask.shape, np.float32)
    step = 1.0 if pixel_size is None else min(pixel_size)
    outer = distance_transform_edt(~inside, sampling=pixel_size)
    # The rim itself is at distance 0, as outside the mask distances are measured to it.
    inner = (distance_transform_edt(inside, sampling=pixel_size) - step).clip(0)
    result: np.ndarray = np.where(inside, -inner, outer).astype(np.float32)
    return result
