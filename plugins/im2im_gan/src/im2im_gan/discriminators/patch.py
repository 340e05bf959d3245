"""PatchGAN, at one scale or at several."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from monai.networks.blocks import Convolution
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core import DataError
from im2im_gan.discriminators.config import PatchConfig

KERNEL = 4


class PatchDiscriminator(nn.Module):
    """Judges overlapping pieces of an image (Isola et al., CVPR 2017).

    Convolutions of 4 pixels, as many as `layers` with stride 2; all but the first and the last are normalized. MONAI's
    network of this name has one more layer at the smallest size.

    Args:
        config: settings.
        spatial_dims: 2 or 3.
        in_channels: of the image, or of image and condition beside each other.
    """

    def __init__(self, config: PatchConfig, *, spatial_dims: int, in_channels: int) -> None:
        super().__init__()
        widths = [config.features * min(2**level, 8) for level in range(config.layers)]
        shape: dict[str, Any] = {"kernel_size": KERNEL, "strides": 2, "padding": 1}
        act = ("LEAKYRELU", {"negative_slope": 0.2})
        first = Convolution(spatial_dims, in_channels, widths[0], norm=None, act=act, adn_ordering="A", **shape)
        self.model = nn.ModuleList([first])
        for inside, outside in pairwise(widths):
            self.model.append(
                Convolution(spatial_dims, inside, outside, norm=config.norm, act=act, adn_ordering="NA", **shape)
            )
        last = {**shape, "strides": 1, "conv_only": True}
        self.model.append(Convolution(spatial_dims, widths[-1], 1, **last))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of every layer, of which the last are the logits (B, 1, [Z], Y, X).

        Raises:
            DataError: the image is too small for the layers.
        """
        _check_size(tuple(image.shape[2:]), len(self.model) - 1)
        features: list[Tensor] = []
        for layer in self.model:
            image = layer(image)
            features.append(image)
        return features


class MultiScaleDiscriminator(nn.Module):
    """A PatchGAN for the image, and further ones for smaller copies (Wang et al., CVPR 2018).

    Args:
        config: settings of each.
        scales: how many.
        spatial_dims: 2 or 3.
        in_channels: of the image.
    """

    def __init__(self, config: PatchConfig, *, scales: int, spatial_dims: int, in_channels: int) -> None:
        super().__init__()
        self.layers = config.layers
        self.scales = nn.ModuleList(
            PatchDiscriminator(config, spatial_dims=spatial_dims, in_channels=in_channels) for _ in range(scales)
        )
        self.shrink: Any = F.avg_pool2d if spatial_dims == 2 else F.avg_pool3d

    def forward(self, image: Tensor) -> list[list[Tensor]]:
        """For each scale, finest first, the features of every layer, of which the last are the logits.

        Raises:
            DataError: the image is too small for the layers at the coarsest scale.
        """
        _check_size(tuple(image.shape[2:]), self.layers, len(self.scales))
        verdicts = []
        for index, judge in enumerate(self.scales):
            if index:
                image = self.shrink(image, 3, stride=2, padding=1, count_include_pad=False)
            verdicts.append(judge(image))
        return verdicts


def _check_size(size: tuple[int, ...], layers: int, scales: int = 1) -> None:
    """What comes to the last layer, of stride 1, must fill its kernel with the border of a pixel."""
    coarsest = [-(-length // 2 ** (scales - 1)) for length in size]
    if min(coarsest) // 2**layers >= KERNEL - 2:
        return
    shown = " x ".join(str(length) for length in size)
    several = scales > 1
    raise DataError(
        f"an image of {shown} pixels is too small for {layers} layers of the discriminator"
        + (f" at {scales} scales" if several else ""),
        f"set discriminator.layers{' or discriminator.scales' if several else ''} lower, or dataset.patch_size higher",
    )
