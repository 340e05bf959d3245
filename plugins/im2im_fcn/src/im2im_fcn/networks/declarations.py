"""The networks of this plug-in. Loads no torch."""

from __future__ import annotations

from typing import Any

from im2im_core import Network
from im2im_fcn.networks import config as settings
from im2im_fcn.networks import config_own as own
from im2im_fcn.networks import config_transformers as transformers
from im2im_fcn.networks.checks import per_axis


def _unet(config: settings.UNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_fcn.networks.monai_networks import unet

    return unet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _basic_unet(config: settings.BasicUNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_fcn.networks.monai_networks import basic_unet

    return basic_unet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _attention_unet(
    config: settings.AttentionUNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int
) -> Any:
    from im2im_fcn.networks.monai_networks import attention_unet

    return attention_unet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _dynunet(config: settings.DynUNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    # Settings for other axes are refused before torch loads.
    for value in config.strides + config.kernels:
        per_axis(value, spatial_dims)
    from im2im_fcn.networks.monai_networks import dynunet

    return dynunet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _highresnet(config: settings.HighResNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_fcn.networks.monai_networks import highresnet

    return highresnet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _flexible_unet(
    config: settings.FlexibleUNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int
) -> Any:
    from im2im_fcn.networks.monai_networks import flexible_unet

    return flexible_unet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _segresnet(config: settings.SegResNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_fcn.networks.monai_networks import segresnet

    return segresnet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _unetr(config: transformers.UNETRConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    config.window(spatial_dims)  # refuses settings for other axes before torch loads
    from im2im_fcn.networks.transformers import unetr

    return unetr(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _swin_unetr(config: transformers.SwinUNETRConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_fcn.networks.transformers import swin_unetr

    return swin_unetr(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _fnet(config: own.FNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_fcn.networks.own_networks import fnet

    return fnet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _anisotropic_unet(
    config: own.AnisotropicUNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int
) -> Any:
    from im2im_fcn.networks.own_networks import anisotropic_unet

    return anisotropic_unet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _deeplabv3(config: own.DeepLabV3Config, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_fcn.networks.own_networks import deeplabv3

    return deeplabv3(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


NETWORKS: tuple[Network, ...] = (
    Network(
        name="unet",
        summary="Light residual U-Net that starts at half the size (MONAI; Kerfoot et al. 2019)",
        config=settings.UNetConfig,
        factory=_unet,
    ),
    Network(
        name="basic-unet",
        summary="U-Net of plain convolutions and max pooling (MONAI; Falk et al. 2019)",
        config=settings.BasicUNetConfig,
        factory=_basic_unet,
    ),
    Network(
        name="attention-unet",
        summary="U-Net with attention gates on its shortcuts (MONAI; Oktay et al. 2018)",
        config=settings.AttentionUNetConfig,
        factory=_attention_unet,
    ),
    Network(
        name="dynunet",
        summary="U-Net of any topology, as nnU-Net plans it (MONAI; Isensee et al. 2021)",
        config=settings.DynUNetConfig,
        factory=_dynunet,
    ),
    Network(
        name="highresnet",
        summary="Residual network of dilated convolutions at full size (MONAI; Li et al. 2017)",
        config=settings.HighResNetConfig,
        factory=_highresnet,
    ),
    Network(
        name="flexible-unet",
        summary="U-Net on a ResNet or EfficientNet, trained from scratch (MONAI; He et al. 2016, Tan and Le 2019)",
        config=settings.FlexibleUNetConfig,
        factory=_flexible_unet,
    ),
    Network(
        name="segresnet",
        summary="Residual encoder and decoder (MONAI; Myronenko 2018)",
        config=settings.SegResNetConfig,
        factory=_segresnet,
    ),
    Network(
        name="unetr",
        summary="Vision transformer with a convolutional way up (MONAI; Hatamizadeh et al. 2022)",
        config=transformers.UNETRConfig,
        factory=_unetr,
    ),
    Network(
        name="swin-unetr",
        summary="Shifted-window transformer with a convolutional way up (MONAI; Hatamizadeh et al. 2022)",
        config=transformers.SwinUNETRConfig,
        factory=_swin_unetr,
    ),
    Network(
        name="fnet",
        summary="U-Net for label-free prediction (Ounkomol et al. 2018)",
        config=own.FNetConfig,
        factory=_fnet,
    ),
    Network(
        name="anisotropic-unet",
        summary="3D U-Net that coarsens XY first, until voxels are isotropic (after Cicek et al. 2016)",
        config=own.AnisotropicUNetConfig,
        factory=_anisotropic_unet,
        spatial_dims=(3,),
    ),
    Network(
        name="deeplabv3",
        summary="Atrous spatial pyramid on a residual network, DeepLabv3 (Chen et al. 2017)",
        config=own.DeepLabV3Config,
        factory=_deeplabv3,
    ),
)
