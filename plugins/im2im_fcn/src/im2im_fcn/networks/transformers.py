"""Builds the transformers of MONAI for images of any size."""

from __future__ import annotations

from monai.networks.nets import UNETR, SwinUNETR
from torch import nn

from im2im_fcn.networks.config_transformers import SwinUNETRConfig, UNETRConfig
from im2im_fcn.networks.fitting import FittedNetwork, WindowedNetwork

# The patches of the first stage, and four stages of merging, halve the size each.
_SWIN_MULTIPLE = 32


def unetr(config: UNETRConfig, **shape: int) -> nn.Module:
    """Vision transformer with a convolutional way up (Hatamizadeh et al. 2022, WACV)."""
    window = config.window(shape["spatial_dims"])
    net = UNETR(
        **shape,
        img_size=window,
        feature_size=config.feature_size,
        hidden_size=config.hidden_size,
        mlp_dim=config.mlp_dim,
        num_heads=config.num_heads,
        dropout_rate=config.dropout,
    )
    for block in net.vit.blocks:
        # There is no cross-attention here: its normalization would be a parameter that nothing trains.
        block.norm_cross_attn = nn.Identity()
    return WindowedNetwork(net, window, overlap=config.overlap)


def swin_unetr(config: SwinUNETRConfig, **shape: int) -> nn.Module:
    """Shifted-window transformer with a convolutional way up (Hatamizadeh et al. 2022, BrainLes)."""
    net = SwinUNETR(
        **shape,
        feature_size=config.feature_size,
        depths=config.depths,
        num_heads=config.num_heads,
        window_size=config.window_size,
        drop_rate=config.dropout,
    )
    return FittedNetwork(net, (_SWIN_MULTIPLE,) * shape["spatial_dims"])
