"""The generator of pix2pixHD and CycleGAN, in 2D and 3D."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monai.networks.blocks import Convolution
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_gan.networks.config import ResnetGeneratorConfig

LEAST_SIDE = 4


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, spatial_dims: int, width: int, norm: str, *, activated: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        self.conv.add_module("unit0", _convolution(spatial_dims, width, width, norm))
        self.conv.add_module("unit1", _convolution(spatial_dims, width, width, norm, "NA" if activated else "N"))

    def forward(self, features: Tensor) -> Tensor:
        """(B, F, [Z], Y, X), unchanged in shape."""
        total: Tensor = features + self.conv(features)
        return total


class ResnetGenerator(nn.Module):
    """Down, residual blocks at the smallest size, up (Johnson et al., ECCV 2016; Wang et al., CVPR 2018).

    Borders are padded by reflection in 2D and by repetition in 3D, where stacks are thin. Images of any size come back
    in that size: they are padded to a multiple of the coarsest pixel and cropped.

    Args:
        config: settings.
        spatial_dims: 2 or 3.
        in_channels, out_channels: of the images.
    """

    def __init__(
        self, config: ResnetGeneratorConfig, *, spatial_dims: int, in_channels: int, out_channels: int
    ) -> None:
        super().__init__()
        self.config = config
        self.multiple = max(LEAST_SIDE, 2**config.down_blocks)
        layers = _layers(config, spatial_dims, in_channels, out_channels)
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, [Z], Y, X) to (B, K, [Z], Y, X)."""
        size = image.shape[2:]
        missing = [-length % self.multiple for length in size]
        if all(length <= self.multiple for length in size):
            missing[-1] += self.multiple  # a single coarsest pixel cannot be normalized
        if any(missing):
            widths = [width for side in reversed(missing) for width in (0, side)]
            image = F.pad(image, widths, mode="replicate")
        output: Tensor = self.model(image)
        inside: tuple[Any, ...] = (..., *(slice(length) for length in size))
        return output[inside]


def _layers(
    config: ResnetGeneratorConfig, spatial_dims: int, in_channels: int, out_channels: int
) -> Iterator[nn.Module]:
    pad: Any = nn.ReflectionPad2d if spatial_dims == 2 else nn.ReplicationPad3d
    width, norm = config.features, config.norm
    yield pad(3)
    yield _convolution(spatial_dims, in_channels, width, norm, kernel_size=7, padding=0)
    for _ in range(config.down_blocks):
        yield _convolution(spatial_dims, width, 2 * width, norm, strides=2)
        width *= 2
    for _ in range(config.residual_blocks):
        yield ResidualBlock(spatial_dims, width, norm, activated=config.activate_residual)
    for _ in range(config.down_blocks):
        if config.upsample == "deconv":
            yield _convolution(spatial_dims, width, width // 2, norm, strides=2, is_transposed=True)
        else:
            smooth = nn.Upsample(scale_factor=2, mode="bilinear" if spatial_dims == 2 else "trilinear")
            yield nn.Sequential(smooth, _convolution(spatial_dims, width, width // 2, norm))
        width //= 2
    yield pad(3)
    yield Convolution(spatial_dims, width, out_channels, kernel_size=7, padding=0, conv_only=True)
    if config.final_activation == "tanh":
        yield nn.Tanh()


def _convolution(spatial_dims: int, inside: int, outside: int, norm: str, order: str = "NA", **shape: Any) -> nn.Module:
    shape = {"kernel_size": 3, **shape}
    made: nn.Module = Convolution(spatial_dims, inside, outside, norm=norm, act="RELU", adn_ordering=order, **shape)
    return made
