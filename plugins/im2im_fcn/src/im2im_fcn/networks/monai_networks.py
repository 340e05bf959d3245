"""Builds the convolutional networks of MONAI for images of any size."""

from __future__ import annotations

import math
from typing import Any

from monai.networks import nets
from torch import nn

from im2im_fcn.networks.checks import per_axis
from im2im_fcn.networks.config import (
    AttentionUNetConfig,
    BasicUNetConfig,
    DynUNetConfig,
    FlexibleUNetConfig,
    HighResNetConfig,
    SegResNetConfig,
    UNetConfig,
)
from im2im_fcn.networks.fitting import FittedNetwork
from im2im_fcn.networks.planning import plan_filters

_LEAST_DYNUNET_LEVELS = 3


def unet(config: UNetConfig, **shape: int) -> nn.Module:
    """Residual U-Net (Kerfoot et al. 2019, STACOM); its first convolution already makes the image smaller."""
    net = nets.UNet(**shape, **config.model_dump(exclude={"norm"}), norm=config.norm.upper())
    return _fitted(net, math.prod(config.strides), shape)


def basic_unet(config: BasicUNetConfig, **shape: int) -> nn.Module:
    """U-Net of plain convolutions and max pooling (Falk et al. 2019, Nature Methods)."""
    norm = (config.norm, {"affine": True})
    return _fitted(nets.BasicUNet(**shape, **config.model_dump(exclude={"norm"}), norm=norm), 16, shape)


def attention_unet(config: AttentionUNetConfig, **shape: int) -> nn.Module:
    """U-Net with attention gates on its shortcuts (Oktay et al. 2018, MIDL)."""
    return _fitted(nets.AttentionUnet(**shape, **config.model_dump()), math.prod(config.strides), shape)


def dynunet(config: DynUNetConfig, **shape: int) -> nn.Module:
    """U-Net of any topology (Isensee et al. 2021, Nature Methods), without deep supervision.

    MONAI builds at least three levels: to fewer, levels of the same size are added.
    """
    spatial_dims = shape["spatial_dims"]
    strides = [per_axis(stride, spatial_dims) for stride in config.strides]
    kernels = [per_axis(kernel, spatial_dims) for kernel in config.kernels or (3,) * len(strides)]
    filters = list(config.filters or plan_filters(len(strides), spatial_dims))
    for _ in range(len(strides), _LEAST_DYNUNET_LEVELS):
        strides.append((1,) * spatial_dims)
        kernels.append(kernels[-1])
        filters.append(filters[-1])
    net = nets.DynUNet(
        **shape,
        kernel_size=kernels,
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=filters,
        dropout=config.dropout or None,
        norm_name=(config.norm, {"affine": True}),
        res_block=config.res_block,
    )
    return FittedNetwork(net, [math.prod(axis) for axis in zip(*strides, strict=True)])


def highresnet(config: HighResNetConfig, **shape: int) -> nn.Module:
    """Residual network of dilated convolutions at full size (Li et al. 2017, IPMI)."""
    kernel = config.kernel_size
    layers: list[dict[str, Any]] = [{"name": "conv_0", "n_features": config.channels[0], "kernel_size": kernel}]
    for stage, channels in enumerate(config.channels, start=1):
        layers.append(
            {"name": f"res_{stage}", "n_features": channels, "kernels": (kernel, kernel), "repeat": config.repeats}
        )
    layers.append({"name": "conv_1", "n_features": config.last_channels, "kernel_size": 1})
    layers.append({"name": "conv_2", "kernel_size": 1})
    return _fitted(nets.HighResNet(**shape, dropout_prob=config.dropout, layer_params=layers), 1, shape)


def flexible_unet(config: FlexibleUNetConfig, **shape: int) -> nn.Module:
    """U-Net on a residual network (He et al. 2016) or EfficientNet (Tan and Le 2019); nothing is downloaded."""
    net = nets.FlexibleUNet(**shape, **config.model_dump(), pretrained=False)
    for unused in ("_conv_head", "_bn1", "_fc"):
        # Layers for classification, which the U-Net does not use and an optimizer would carry along.
        if hasattr(net.encoder, unused):
            setattr(net.encoder, unused, nn.Identity())
    return _fitted(net, 32, shape)


def segresnet(config: SegResNetConfig, **shape: int) -> nn.Module:
    """Residual encoder and decoder (Myronenko 2018, BrainLes), without its autoencoder branch."""
    net = nets.SegResNet(
        **shape,
        init_filters=config.init_filters,
        blocks_down=config.blocks_down,
        blocks_up=config.blocks_up,
        norm=("group", {"num_groups": config.num_groups}),
        dropout_prob=config.dropout or None,
    )
    return _fitted(net, 2 ** (len(config.blocks_down) - 1), shape)


def _fitted(net: nn.Module, multiple: int, shape: dict[str, int]) -> nn.Module:
    return FittedNetwork(net, (multiple,) * shape["spatial_dims"])
