"""Settings of the models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from im2im_core import ComponentConfig

GanTask = Literal["translation", "restoration", "generation", "semantic-segmentation"]
Objective = Literal["least-squares", "bce", "hinge"]
Range = Annotated[tuple[float, float], Field(description="low and high")]


class AdversarialConfig(ComponentConfig):
    """Settings of both models."""

    task: GanTask = Field(default="translation", description="what the targets are: images, or masks (segmentation)")
    classes: Literal[1] | None = Field(
        default=None,
        description="for segmentation: 1, foreground, whatever its number; more classes are not told apart",
    )
    objective: Objective = Field(default="least-squares", description="how the discriminator's verdict becomes a loss")
    adversarial_weight: float = Field(default=1.0, ge=0, description="weight of deceiving the discriminator")
    target_range: tuple[Range, ...] | None = Field(
        default=None,
        description="of each target channel the intensities that the networks see as 0 and 1; null: the 1st and 99.8th "
        "percentile of all targets",
    )


class Pix2PixConfig(AdversarialConfig):
    """Settings of `pix2pix`."""

    reconstruction_weight: float = Field(
        default=100.0, ge=0, description="weight of the section `loss`, which compares prediction and target"
    )
    feature_matching_weight: float = Field(
        default=0.0, ge=0, description="weight of equal features in all layers of the discriminator; 10 in pix2pixHD"
    )


class CycleGanConfig(AdversarialConfig):
    """Settings of `cyclegan`."""

    cycle_weight: float = Field(
        default=10.0, ge=0, description="weight of the section `loss` between an image and what it comes back as"
    )
    identity_weight: float | None = Field(
        default=None,
        ge=0,
        description="weight of leaving an image alone that is of the other kind already; null: half of cycle_weight, "
        "or 0 where image and target differ in channels",
    )
    pool_size: int = Field(default=50, ge=0, description="generated images kept for the discriminators, for each kind")
    image_range: tuple[Range, ...] | None = Field(
        default=None,
        description="of each image channel the intensities that become 0 and 1 in preprocessing, for the way back; "
        "null: the 1st and 99.8th percentile of all images",
    )
    direction: Literal["a-to-b", "b-to-a"] = Field(
        default="a-to-b", description="which way a bundle predicts: images to targets, or back (predict --direction)"
    )
