"""What this plug-in brings. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from im2im_core import ConfigError, Loss, Model, Network, Postprocessor, Preset, hookimpl
from im2im_stars.config import (
    DEFAULTS,
    STARS_2D,
    StarConvexConfig,
    StarLossConfig,
    StarNmsConfig,
    StarUNetConfig,
    thresholds,
)

IM2IM_API = 1
_INSTANCES: Literal["instance-segmentation"] = "instance-segmentation"


def _network(config: StarUNetConfig, *, in_channels: int, out_channels: int) -> Any:
    from im2im_stars.network import StarUNet

    return StarUNet(in_channels, out_channels, config.channels, config.residual_units)


def _model(
    config: StarConvexConfig, *, network: Any, loss: Any, optimizer: Any, scheduler: Any, in_channels: int
) -> Any:
    from im2im_stars.model import StarConvex

    built = network(in_channels, 1 + config.rays)
    return StarConvex(built, loss, optimizer, scheduler, initial_radius=config.initial_radius)


def _loss(config: StarLossConfig) -> Any:
    from im2im_stars.loss import StarLoss

    return StarLoss(config.distance_weight, config.background_weight)


def _nms(config: StarNmsConfig, *, spatial_dims: int) -> Any:
    from im2im_stars.postprocessing import StarNms

    if spatial_dims != 2:
        raise ConfigError(
            f"star-nms: polygons lie in a plane, and the images have '{spatial_dims}' spatial axes",
            "give it single planes, or take a model for volumes",
        )
    return StarNms(config)


@hookimpl
def im2im_networks() -> Iterable[Network]:
    """One network."""
    yield Network(
        name="star-unet",
        summary="Residual U-Net (MONAI) at half the size of the image",
        config=StarUNetConfig,
        factory=_network,
        spatial_dims=(2,),
    )


@hookimpl
def im2im_models() -> Iterable[Model]:
    """The method."""
    yield Model(
        name="star-convex",
        summary="Instance segmentation by star-convex polygons (Schmidt et al. 2018)",
        config=StarConvexConfig,
        factory=_model,
        task=_INSTANCES,
        spatial_dims=(2,),
        target_channels=(1,),
        defaults=DEFAULTS,
    )


@hookimpl
def im2im_losses() -> Iterable[Loss]:
    """The loss, which makes its targets from labels."""
    yield Loss(
        name="star-distances",
        summary="Cross entropy of the object probability and error of the distances; respects the cost map",
        config=StarLossConfig,
        factory=_loss,
        tasks=(_INSTANCES,),
    )


@hookimpl
def im2im_postprocessors() -> Iterable[Postprocessor]:
    """From probabilities and distances to labels."""
    yield Postprocessor(
        name="star-nms",
        summary="Non-maximum suppression of star-convex polygons, drawn as labels",
        config=StarNmsConfig,
        factory=_nms,
        tasks=(_INSTANCES,),
        halo=lambda config: config.halo,
        merges="labels",
        tune=thresholds,
    )


@hookimpl
def im2im_presets() -> Iterable[Preset]:
    """Settings for nuclei."""
    yield Preset(
        name="stars-2d",
        summary="Nuclei in 2D fluorescence, by star-convex polygons",
        task=_INSTANCES,
        settings=STARS_2D,
    )
