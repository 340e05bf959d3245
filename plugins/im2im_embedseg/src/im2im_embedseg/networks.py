"""A light network for small computers."""

from __future__ import annotations

from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_embedseg.config import ResidualUNetConfig


class ResidualUNet(nn.Module):
    """MONAI's residual U-Net (Kerfoot et al. 2019, STACOM) for images of any size.

    Its first convolution already halves the image, so a step costs a fraction of a network that works at full size.

    Args:
        config: channels per level, residual units, normalization.
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the prediction.
    """

    def __init__(self, config: ResidualUNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        levels = len(config.channels)
        self.multiple = 2 ** (levels - 1)
        self.net = UNet(
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            out_channels=out_channels,
            channels=config.channels,
            strides=(2,) * (levels - 1),
            num_res_units=config.residual_units,
            act="RELU",
            norm=config.norm.upper(),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, [Z], Y, X) to (B, K, [Z], Y, X)."""
        size = image.shape[2:]
        missing = [-n % self.multiple for n in size]
        if any(missing):
            # The border is continued rather than set to zero, which would look like background with a sharp edge.
            image = F.pad(image, [p for m in reversed(missing) for p in (0, m)], mode="replicate")
        predicted: Tensor = self.net(image)
        return predicted[(slice(None), slice(None), *(slice(0, n) for n in size))]
