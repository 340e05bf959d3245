"""A regularizer on edges and on the neighbourhood of every pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core.targets import one_hot
from im2im_fcn.losses.regularizer_config import ConnectivityConfig, PixelMetric
from im2im_fcn.losses.targets import as_classes


class ConnectivityCoherenceLoss(nn.Module):
    """Edges and local densities of prediction and target compared, class by class.

    The edge term compares Sobel images along each axis, every channel with its own (a published tool mixes channels and
    axes as soon as there are several classes); the density term compares means of
    neighbours with the pixel itself and with each other. Where the cost map is 0 the prediction is taken to be the
    target, so it has no gradient there.
    """

    def __init__(self, config: ConnectivityConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        logits, classes = as_classes(prediction, target, costmap)
        first = 0 if self.config.include_background else 1
        probabilities = logits.softmax(1)[:, first:]
        masks = one_hot(classes, logits.shape[1], logits.dtype)[:, first:]
        loss = logits.new_zeros(())
        if self.config.edge_weight > 0:
            loss = loss + self.config.edge_weight * self._edges(probabilities, masks)
        if self.config.density_weight > 0:
            loss = loss + self.config.density_weight * self._densities(probabilities, masks)
        return loss

    def _edges(self, probabilities: Tensor, masks: Tensor) -> Tensor:
        pairs = zip(edge_maps(probabilities), edge_maps(masks), strict=True)
        return torch.stack([difference(p, t, self.config.edge_metric) for p, t in pairs]).sum()

    def _densities(self, probabilities: Tensor, masks: Tensor) -> Tensor:
        terms, metric = [], self.config.density_metric
        for size in window_sizes(self.config):
            kernel = neighbor_kernel(size, probabilities.dim() - 2, self.config.window).to(probabilities)
            near_p, near_t = depthwise(probabilities, kernel), depthwise(masks, kernel)
            pairs = ((near_p, masks), (probabilities, near_t), (near_p, near_t))
            terms.append(torch.stack([difference(p, t, metric) for p, t in pairs]).sum())
        return torch.stack(terms).mean()


def edge_maps(images: Tensor) -> list[Tensor]:
    """Sobel images along X, Y[, Z], each of the shape of the images (B, C, [Z,] Y, X), with zeros beyond the border."""
    return [depthwise(images, kernel.to(images)) for kernel in sobel_kernels(images.dim() - 2)]


def sobel_kernels(dims: int) -> list[Tensor]:
    """Kernels along X, Y[, Z], of 3 pixels per axis."""
    smoothing, slope = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
    kernels = []
    for axis in reversed(range(dims)):
        kernel = torch.ones(())
        for other in range(dims):
            kernel = kernel[..., None] * (slope if other == axis else smoothing)
        kernels.append(kernel)
    return kernels


def window_sizes(config: ConnectivityConfig) -> list[int]:
    """Odd widths of the windows."""
    if config.windows == "single":
        return [config.size + 1 - config.size % 2]
    steps = range(1, config.size + 1)
    return [2 * i + 1 for i in steps] if config.windows == "linear" else [2**i + 1 for i in steps]


def neighbor_kernel(size: int, dims: int, window: str) -> Tensor:
    """Weights of the neighbours, without the pixel itself; their sum is 1."""
    offsets = torch.arange(size, dtype=torch.float32) - size // 2
    line = torch.ones(size) if window == "square" else torch.exp(-(offsets**2) / (2 * max(0.5, 0.2 * size) ** 2))
    kernel = torch.ones(())
    for _ in range(dims):
        kernel = kernel[..., None] * line
    kernel[(size // 2,) * dims] = 0
    return kernel / kernel.sum()


def depthwise(images: Tensor, kernel: Tensor) -> Tensor:
    """Each channel filtered by itself, zeros beyond the border."""
    channels = images.shape[1]
    weight = kernel.expand(channels, 1, *kernel.shape)
    convolve = F.conv2d if kernel.dim() == 2 else F.conv3d
    return convolve(images, weight, padding=kernel.shape[0] // 2, groups=channels)


def difference(prediction: Tensor, target: Tensor, metric: PixelMetric) -> Tensor:
    """Scalar difference; 'cosine' compares whole maps, the others pixels."""
    if metric == "cosine":
        return 1 - F.cosine_similarity(prediction.flatten(2), target.flatten(2), dim=2).mean()
    if metric == "charbonnier":
        return ((prediction - target) ** 2 + 1e-12).sqrt().mean()
    if metric == "huber":
        return F.huber_loss(prediction, target)
    return F.l1_loss(prediction, target) if metric == "l1" else F.mse_loss(prediction, target)
