"""Builds the networks of this package for images of any size."""

from __future__ import annotations

import math

from torch import nn

from im2im_fcn.networks.config_own import AnisotropicUNetConfig, DeepLabV3Config, FNetConfig
from im2im_fcn.networks.deeplab import DeepLabV3
from im2im_fcn.networks.fitting import FittedNetwork
from im2im_fcn.networks.strided_unet import StridedUNet


def fnet(config: FNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """U-Net for label-free prediction (Ounkomol et al. 2018, Nature Methods)."""
    net = StridedUNet(
        spatial_dims,
        in_channels,
        out_channels,
        widths=[config.mult_chan * 2**level for level in range(config.depth + 1)],
        strides=[(2,) * spatial_dims] * config.depth,
        dropout=config.dropout,
    )
    return FittedNetwork(net, (2**config.depth,) * spatial_dims)


def anisotropic_unet(
    config: AnisotropicUNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int
) -> nn.Module:
    """3D U-Net (Cicek et al. 2016, MICCAI) whose first levels are coarser in XY only, until voxels are isotropic."""
    net = StridedUNet(
        spatial_dims, in_channels, out_channels, widths=config.channels, strides=config.strides, dropout=config.dropout
    )
    return FittedNetwork(net, [math.prod(axis) for axis in zip(*config.strides, strict=True)])


def deeplabv3(config: DeepLabV3Config, *, spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """Atrous spatial pyramid on a residual network (Chen et al. 2017)."""
    net = DeepLabV3(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)
    return FittedNetwork(net, (config.output_stride,) * spatial_dims)
