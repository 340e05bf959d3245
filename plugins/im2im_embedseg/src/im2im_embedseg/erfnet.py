"""Branched ERFNet: one encoder, one decoder per group of output channels, in 2D and 3D.

Romera et al. 2018, "ERFNet: Efficient Residual Factorized ConvNet for Real-Time Semantic Segmentation" (IEEE T-ITS);
branched by Neven et al. 2019 (CVPR). The names of the parameters are those of published weights, so they load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_NORM_EPS = 1e-3
_TOTAL_STRIDE = 8


def _layer(kind: str, spatial_dims: int, *args: Any, **kwargs: Any) -> nn.Module:
    """The 2D or 3D class of torch.nn of that name, e.g. Conv -> Conv3d."""
    layer: nn.Module = getattr(nn, f"{kind}{spatial_dims}d")(*args, **kwargs)
    return layer


class _Downsampler(nn.Module):
    """Halves every axis: strided convolution beside max-pooling, so that no information has one way only."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _layer("Conv", spatial_dims, in_channels, out_channels - in_channels, 3, stride=2, padding=1)
        self.pool = _layer("MaxPool", spatial_dims, 2, stride=2)
        self.bn = _layer("BatchNorm", spatial_dims, out_channels, eps=_NORM_EPS)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.bn(torch.cat([self.conv(features), self.pool(features)], dim=1)))


class _Upsampler(nn.Module):
    """Doubles every axis."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _layer(
            "ConvTranspose", spatial_dims, in_channels, out_channels, 3, stride=2, padding=1, output_padding=1
        )
        self.bn = _layer("BatchNorm", spatial_dims, out_channels, eps=_NORM_EPS)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(features)))


class _FactorisedBlock(nn.Module):
    """Residual block whose 3^D convolutions are each D one-dimensional ones: "non-bottleneck-1D" in the paper.

    The second half is dilated.
    """

    def __init__(self, spatial_dims: int, channels: int, dropout: float = 0.0, dilation: int = 1) -> None:
        super().__init__()
        self._halves: list[list[str]] = []
        for half, spread in ((1, 1), (2, dilation)):
            names = []
            for axis in range(spatial_dims):
                kernel = [3 if other == axis else 1 for other in range(spatial_dims)]
                padding = [spread * (size // 2) for size in kernel]
                name = f"conv{'x'.join(map(str, kernel))}_{half}"
                # The dilation of axes with kernel size 1 has no effect, but keeps them all alike.
                conv = _layer("Conv", spatial_dims, channels, channels, kernel, padding=padding, dilation=spread)
                self.add_module(name, conv)
                names.append(name)
            self.add_module(f"bn{half}", _layer("BatchNorm", spatial_dims, channels, eps=_NORM_EPS))
            self._halves.append(names)
        # Whole channels are dropped: neighbours within a channel are too alike for dropping single pixels to matter.
        self.dropout = _layer("Dropout", spatial_dims, dropout)

    def _half(self, features: Tensor, number: int) -> Tensor:
        *first, last = self._halves[number - 1]
        for name in first:
            features = functional.relu(self.get_submodule(name)(features))
        out: Tensor = self.get_submodule(f"bn{number}")(self.get_submodule(last)(features))
        return out

    def forward(self, features: Tensor) -> Tensor:
        changed = self._half(functional.relu(self._half(features, 1)), 2)
        return functional.relu(self.dropout(changed) + features)


class _Encoder(nn.Module):
    """(B, C, [Z], Y, X) -> (B, 128, [Z/8], Y/8, X/8)."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.initial_block = _Downsampler(spatial_dims, in_channels, 16)
        self.layers = nn.Sequential(
            _Downsampler(spatial_dims, 16, 64),
            *(_FactorisedBlock(spatial_dims, 64, dropout=0.03) for _ in range(5)),
            _Downsampler(spatial_dims, 64, 128),
            *(_FactorisedBlock(spatial_dims, 128, 0.3, dilation) for _ in range(2) for dilation in (2, 4, 8, 16)),
        )
        # Only pre-training of the encoder alone would use it. It stays, since published weights contain it.
        self.output_conv = _layer("Conv", spatial_dims, 128, out_channels, 1).requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.layers(self.initial_block(image))
        return features


class _Decoder(nn.Module):
    """(B, 128, [Z/8], Y/8, X/8) -> (B, out_channels, [Z], Y, X)."""

    def __init__(self, spatial_dims: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _Upsampler(spatial_dims, 128, 64),
            *(_FactorisedBlock(spatial_dims, 64) for _ in range(2)),
            _Upsampler(spatial_dims, 64, 16),
            *(_FactorisedBlock(spatial_dims, 16) for _ in range(2)),
        )
        self.output_conv = _layer("ConvTranspose", spatial_dims, 16, out_channels, 2, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.output_conv(self.layers(features))
        return out


class BranchedERFNet(nn.Module):
    """ERFNet whose encoder feeds one decoder per branch.

    Args:
        spatial_dims: 2 or 3.
        in_channels: at most 15, since the first layer makes 16 channels of which `in_channels` come from pooling.
        branches: output channels of each decoder; e.g. (4, 1): offsets and sigmas in one, the seed map in the other.

    Raises:
        ValueError: an argument is outside what is said above.
    """

    def __init__(self, spatial_dims: int, in_channels: int, branches: Sequence[int]) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, not {spatial_dims}")
        if not 1 <= in_channels <= 15:
            raise ValueError(f"ERFNet takes 1 to 15 input channels, not {in_channels}")
        if not branches or any(channels < 1 for channels in branches):
            raise ValueError(f"each branch needs at least one channel: {tuple(branches)}")
        self.encoder = _Encoder(spatial_dims, in_channels, sum(branches))
        self.decoders = nn.ModuleList(_Decoder(spatial_dims, channels) for channels in branches)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, [Z], Y, X) to (B, sum(branches), [Z], Y, X), any spatial size."""
        size = image.shape[2:]
        # Edge pixels are repeated at the far ends: unlike zeros this makes no edge, and unlike mirroring it works for
        # axes of any length. Nothing is put before the first pixel, so positions stay what they are.
        missing = [-n % _TOTAL_STRIDE for n in size]
        if any(missing):
            image = functional.pad(image, [n for m in reversed(missing) for n in (0, m)], mode="replicate")
        features = self.encoder(image)
        out = torch.cat([decoder(features) for decoder in self.decoders], dim=1)
        for axis, n in enumerate(size, start=2):
            out = out.narrow(axis, 0, n)
        return out
