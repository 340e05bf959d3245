"""A U-Net whose levels are reached by strided convolutions, by any factor per axis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Dropout, Norm
from torch import Tensor, nn


class StridedUNet(nn.Module):
    """The U-Net of fnet (Ounkomol et al. 2018, Nature Methods).

    Every level has two convolutions of kernel 3, each followed by batch normalization and ReLU. A strided convolution
    leads to the next level and a transposed one back, with kernels as large as their strides.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the prediction.
        widths: channels per level, finest first.
        strides: from each level to the next, per axis; one fewer than `widths`.
        dropout: share of channels that are dropped after each level's convolutions.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        strides: Sequence[tuple[int, ...]],
        dropout: float = 0,
    ) -> None:
        super().__init__()
        steps = list(zip(itertools.pairwise(widths), strides, strict=True))
        entries = (in_channels, *widths[:-1])
        self.encoders = nn.ModuleList(
            _convolutions(spatial_dims, entry, width, dropout) for entry, width in zip(entries, widths, strict=True)
        )
        self.downs = nn.ModuleList(_step(Conv.CONV, spatial_dims, fine, fine, stride) for (fine, _), stride in steps)
        self.ups = nn.ModuleList(
            _step(Conv.CONVTRANS, spatial_dims, coarse, fine, stride) for (fine, coarse), stride in steps
        )
        self.decoders = nn.ModuleList(_convolutions(spatial_dims, 2 * fine, fine, dropout) for (fine, _), _ in steps)
        self.head = Conv[Conv.CONV, spatial_dims](widths[0], out_channels, kernel_size=3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, [Z], Y, X) to (B, K, [Z], Y, X); sizes are multiples of the product of the strides."""
        features = self.encoders[0](image)
        skipped = []
        for down, encoder in zip(self.downs, self.encoders[1:], strict=True):
            skipped.append(features)
            features = encoder(down(features))
        for up, decoder, skip in reversed(list(zip(self.ups, self.decoders, skipped, strict=True))):
            features = decoder(torch.cat((skip, up(features)), dim=1))
        predicted: Tensor = self.head(features)
        return predicted


def _convolutions(spatial_dims: int, in_channels: int, out_channels: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for entry in (in_channels, out_channels):
        layers += [
            Conv[Conv.CONV, spatial_dims](entry, out_channels, kernel_size=3, padding=1),
            Norm[Norm.BATCH, spatial_dims](out_channels),
            nn.ReLU(),
        ]
    if dropout:
        layers.append(Dropout[Dropout.DROPOUT, spatial_dims](dropout))
    return nn.Sequential(*layers)


def _step(kind: str, spatial_dims: int, in_channels: int, out_channels: int, stride: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(
        Conv[kind, spatial_dims](in_channels, out_channels, kernel_size=stride, stride=stride),
        Norm[Norm.BATCH, spatial_dims](out_channels),
        nn.ReLU(),
    )
