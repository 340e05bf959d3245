"""What this plug-in brings. Loads no torch."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from im2im_core import ComponentConfig, Loss, Model, Network, hookimpl

IM2IM_API = 1


class DilatedConfig(ComponentConfig):
    """Settings of the network."""

    width: int = Field(default=16, ge=1, description="Channels of every hidden layer.")
    dilations: tuple[int, ...] = Field(default=(1, 2, 4, 8), min_length=1, description="One layer per dilation.")


class CharbonnierConfig(ComponentConfig):
    """Settings of the loss."""

    epsilon: float = Field(default=1e-3, gt=0, description="Errors below this count as squares.")


def _network(config: DilatedConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_example.layers import dilated_network

    return dilated_network(spatial_dims, in_channels, out_channels, config.width, config.dilations)


def _loss(config: CharbonnierConfig) -> Any:
    from im2im_example.layers import Charbonnier

    return Charbonnier(config.epsilon)


def _model(
    config: ComponentConfig,
    *,
    network: Any,
    loss: Any,
    optimizer: Any,
    scheduler: Any,
    in_channels: int,
    target_channels: int,
) -> Any:
    from im2im_example.model import ImageToImage

    return ImageToImage(network(in_channels, target_channels), loss, optimizer, scheduler)


@hookimpl
def im2im_networks() -> Iterable[Network]:
    """One network."""
    yield Network(name="dilated", summary="Dilated convolutions, no pooling", config=DilatedConfig, factory=_network)


@hookimpl
def im2im_losses() -> Iterable[Loss]:
    """One loss."""
    yield Loss(name="charbonnier", summary="Smooth absolute error", config=CharbonnierConfig, factory=_loss)


@hookimpl
def im2im_models() -> Iterable[Model]:
    """One model, which trains any network with any loss for images."""
    yield Model(
        name="image-to-image",
        summary="One network from image to target",
        factory=_model,
        task="restoration",
        defaults={"network": "dilated", "loss": "charbonnier", "dataset": {"patch_size": 64}, "metrics": ["psnr"]},
    )
