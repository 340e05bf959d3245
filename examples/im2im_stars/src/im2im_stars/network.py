"""A network that is quick because polygons need not be told at every pixel. Imported by a factory only."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.nn import functional as F


class StarUNet(nn.Module):
    """Residual U-Net (Kerfoot et al. 2019, STACOM) on an image folded to half its size, with the result enlarged again.

    Neighbouring pixels of an object have nearly the same polygon, so an interpolated one is as good. Four pixels become
    the channels of one: nothing is lost, and there is no shift by half a pixel as strided convolutions have.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the prediction.
        channels: per level.
        residual_units: convolutions with a shortcut per level.
    """

    def __init__(self, in_channels: int, out_channels: int, channels: Sequence[int], residual_units: int) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(2)
        strides = (1, *[2] * (len(channels) - 2))
        self.net = UNet(
            spatial_dims=2,
            in_channels=4 * in_channels,
            out_channels=2 * channels[0],
            channels=channels,
            strides=strides,
            num_res_units=residual_units,
            act="RELU",
            norm="BATCH",
        )
        # Distances are no linear functions of few features: what is near a border is far from another.
        wide = 4 * channels[0]
        self.head = nn.Sequential(
            nn.ReLU(), nn.Conv2d(2 * channels[0], wide, 1), nn.ReLU(), nn.Conv2d(wide, out_channels, 1)
        )
        self.multiple = 2 ** len(strides)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, Y, X) of any size to (B, K, Y, X)."""
        height, width = image.shape[2:]
        # The border is continued rather than set to zero, which would look like background with a sharp edge.
        image = F.pad(image, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        predicted = self.head(self.net(self.fold(image)))
        enlarged = F.interpolate(predicted, scale_factor=2, mode="bilinear", align_corners=False)
        return enlarged[..., :height, :width]
