"""Structural similarity at several scales, mixed with the absolute error."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core.targets import full_precision, same_shape, weighted_mean
from im2im_fcn.losses.config import MsSsimConfig


class MsSsimLoss(nn.Module):
    """weight * (1 - MS-SSIM) + (1 - weight) * L1 (Zhao et al., IEEE Trans. Comput. Imaging 3, 47, 2017).

    As there, scales are Gaussians of growing width at full resolution, and the widest smooths the absolute error too.
    Contrast and structure count from 0 upwards, as a product of two negative ones would look like a success. Where the
    cost map is 0 the prediction is taken to be right, so it has no gradient there.
    """

    def __init__(self, config: MsSsimConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        same_shape(prediction, target)
        prediction = full_precision(prediction)
        target = target.to(prediction.dtype)
        if costmap is not None:
            prediction = torch.where(costmap > 0, prediction, target)
        prediction, target = prediction / self.config.data_range, target / self.config.data_range
        error = smooth((prediction - target).abs(), self.config.sigmas[-1])
        dissimilarity = 1 - ms_ssim_map(prediction, target, self.config.sigmas)
        weight = self.config.ssim_weight
        return weighted_mean(weight * dissimilarity + (1 - weight) * error, costmap)


def ms_ssim_map(prediction: Tensor, target: Tensor, sigmas: tuple[float, ...]) -> Tensor:
    """MS-SSIM around every pixel, of the shape of the images, whose intensities range over 1."""
    c1, c2 = 0.01**2, 0.03**2
    similarity = torch.ones_like(prediction)
    stack = torch.cat([prediction, target, prediction**2, target**2, prediction * target], 1)
    for sigma in sigmas:
        mean_p, mean_t, square_p, square_t, product = smooth(stack, sigma).chunk(5, 1)
        variances = (square_p - mean_p**2).clamp(min=0) + (square_t - mean_t**2).clamp(min=0)
        similarity = similarity * ((2 * (product - mean_p * mean_t) + c2) / (variances + c2)).clamp(min=0)
    luminance: Tensor = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    return luminance * similarity


def smooth(images: Tensor, sigma: float) -> Tensor:
    """Gaussian filter of (B, C, [Z,] Y, X); at the border the part of the window that lies inside counts alone."""
    for axis in range(2, images.dim()):
        length = images.shape[axis]
        radius = min(int(3 * sigma + 0.5), length - 1)
        offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
        kernel = torch.exp(-(offsets**2) / (2 * sigma**2))[None, None]
        lines = images.movedim(axis, -1)
        inside = F.conv1d(torch.ones_like(lines[:1, :1].reshape(-1, 1, length)[:1]), kernel, padding=radius)
        filtered = F.conv1d(lines.reshape(-1, 1, length), kernel, padding=radius) / inside
        images = filtered.reshape(lines.shape).movedim(-1, axis)
    return images
