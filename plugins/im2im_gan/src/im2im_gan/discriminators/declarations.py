"""The discriminators of this plug-in. Loads no torch."""

from __future__ import annotations

from typing import Any

from im2im_core import Discriminator
from im2im_gan.discriminators.config import MultiScaleConfig, PatchConfig


def _patch(config: PatchConfig, *, spatial_dims: int, in_channels: int) -> Any:
    from im2im_gan.discriminators.patch import MultiScaleDiscriminator

    return MultiScaleDiscriminator(config, scales=1, spatial_dims=spatial_dims, in_channels=in_channels)


def _multi_scale(config: MultiScaleConfig, *, spatial_dims: int, in_channels: int) -> Any:
    from im2im_gan.discriminators.patch import MultiScaleDiscriminator

    return MultiScaleDiscriminator(config, scales=config.scales, spatial_dims=spatial_dims, in_channels=in_channels)


DISCRIMINATORS = (
    Discriminator(
        name="patch",
        summary="PatchGAN: judges each piece of the image by itself (Isola et al. 2017)",
        config=PatchConfig,
        factory=_patch,
    ),
    Discriminator(
        name="multi-scale",
        summary="Several of them, each at half the size of the one before (pix2pixHD; Wang et al. 2018)",
        config=MultiScaleConfig,
        factory=_multi_scale,
    ),
)
