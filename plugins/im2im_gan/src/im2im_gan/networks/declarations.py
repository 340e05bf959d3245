"""The networks of this plug-in. Loads no torch."""

from __future__ import annotations

from typing import Any

from im2im_core import Network
from im2im_gan.networks.config import ResnetGeneratorConfig


def _resnet_generator(config: ResnetGeneratorConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_gan.networks.resnet_generator import ResnetGenerator

    return ResnetGenerator(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


NETWORKS = (
    Network(
        name="resnet-generator",
        summary="Residual blocks between steps down and up, the generator of CycleGAN (Johnson et al. 2016)",
        config=ResnetGeneratorConfig,
        factory=_resnet_generator,
    ),
)
