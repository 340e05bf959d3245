"""A network and a loss. Imported by factories only, so torch may be loaded here."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def dilated_network(dims: int, in_channels: int, out_channels: int, width: int, dilations: Sequence[int]) -> nn.Module:
    """Convolutions that see further from layer to layer, at full size: (B, C, [Z], Y, X) -> (B, K, [Z], Y, X)."""
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    layers: list[nn.Module] = []
    for dilation in dilations:
        layers += [conv(in_channels, width, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        in_channels = width
    return nn.Sequential(*layers, conv(width, out_channels, 1))


class Charbonnier(nn.Module):
    """sqrt(error^2 + epsilon^2) - epsilon, averaged over the pixels that the cost map lets count."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """A scalar from two tensors of one shape."""
        error = torch.sqrt((prediction - target) ** 2 + self.epsilon**2) - self.epsilon
        if costmap is None:
            return error.mean()
        weight = costmap.expand_as(error)
        return (error * weight).sum() / weight.sum().clamp_min(1)
