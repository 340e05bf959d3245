"""DeepLabv3: features kept fine by dilation, seen at several scales at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.networks.layers.factories import Conv, Dropout, Norm, Pool
from monai.networks.nets import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_fcn.networks.config_own import DeepLabV3Config

# Kind and numbers of blocks, and channels of the last stage.
_BLOCKS: Mapping[str, tuple[str, list[int], int]] = {
    "resnet18": ("basic", [2, 2, 2, 2], 512),
    "resnet34": ("basic", [3, 4, 6, 3], 512),
    "resnet50": ("bottleneck", [3, 4, 6, 3], 2048),
    "resnet101": ("bottleneck", [3, 4, 23, 3], 2048),
}


class DeepLabV3(nn.Module):
    """Atrous spatial pyramid on a residual network (Chen et al. 2017, arXiv:1706.05587), in 2D and 3D.

    The residual network (He et al. 2016, CVPR) is MONAI's, so it takes any number of channels. Its last stages are
    dilated instead of strided.

    Args:
        config: residual network, output stride, dilations, channels, dropout.
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the prediction.
    """

    def __init__(self, config: DeepLabV3Config, *, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        block, layers, features = _BLOCKS[config.backbone]
        self.encoder = ResNet(
            block=block,
            layers=layers,
            block_inplanes=[64, 128, 256, 512],
            spatial_dims=spatial_dims,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        if config.output_stride == 8:
            _dilate(self.encoder.layer3, 2)
        _dilate(self.encoder.layer4, 32 // config.output_stride)
        self.pyramid = AtrousPyramid(spatial_dims, features, config)
        self.head = nn.Sequential(
            _convolution(spatial_dims, config.channels, config.channels, dilation=1),
            Conv[Conv.CONV, spatial_dims](config.channels, out_channels, kernel_size=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, [Z], Y, X) to (B, K, [Z], Y, X); sizes are multiples of the output stride."""
        net = self.encoder
        features = net.maxpool(net.act(net.bn1(net.conv1(image))))
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            features = stage(features)
        return _resize(self.head(self.pyramid(features)), image)


class AtrousPyramid(nn.Module):
    """Looks at features with several dilations and as a whole, and mixes what it saw.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the features.
        config: dilations, channels, dropout.
    """

    def __init__(self, spatial_dims: int, in_channels: int, config: DeepLabV3Config) -> None:
        super().__init__()
        width = config.channels
        self.branches = nn.ModuleList(
            _convolution(spatial_dims, in_channels, width, dilation=rate) for rate in (0, *config.atrous_rates)
        )
        # One value per channel is left: batch normalization cannot train on it when a batch has one image.
        self.whole = nn.Sequential(
            Pool[Pool.ADAPTIVEAVG, spatial_dims](1),
            Conv[Conv.CONV, spatial_dims](in_channels, width, kernel_size=1),
            nn.ReLU(),
        )
        self.mix = _convolution(spatial_dims, width * (len(self.branches) + 1), width, dilation=0)
        self.dropout = Dropout[Dropout.DROPOUT, spatial_dims](config.dropout)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, [Z], Y, X) to (B, channels, [Z], Y, X)."""
        whole = self.whole(features).expand(-1, -1, *features.shape[2:])
        seen = [branch(features) for branch in self.branches]
        mixed: Tensor = self.dropout(self.mix(torch.cat((*seen, whole), dim=1)))
        return mixed


def _convolution(spatial_dims: int, in_channels: int, out_channels: int, *, dilation: int) -> nn.Sequential:
    """Convolution of kernel 3 with this dilation (0: kernel 1), batch normalization, ReLU."""
    return nn.Sequential(
        Conv[Conv.CONV, spatial_dims](
            in_channels,
            out_channels,
            kernel_size=3 if dilation else 1,
            padding=dilation,
            dilation=max(1, dilation),
            bias=False,
        ),
        Norm[Norm.BATCH, spatial_dims](out_channels),
        nn.ReLU(),
    )


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Keeps the size of the features at this stage, and widens the view of its convolutions instead."""
    for module in stage.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            module.stride = (1,) * len(module.stride)
            if max(module.kernel_size) > 1:
                module.dilation = module.padding = (dilation,) * len(module.stride)


def _resize(features: Tensor, image: Tensor) -> Tensor:
    mode = "bilinear" if image.ndim == 4 else "trilinear"
    return F.interpolate(features, size=image.shape[2:], mode=mode, align_corners=False)
