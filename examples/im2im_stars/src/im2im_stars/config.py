"""Settings, of the components and for nuclei. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from pydantic import Field

from im2im_core import ComponentConfig


class StarConvexConfig(ComponentConfig):
    """Shape of the polygons."""

    rays: int = Field(default=32, ge=8, multiple_of=4, description="Directions in which distances are predicted.")
    initial_radius: float = Field(
        default=10.0, gt=0, description="Radius in pixels of the polygons that the untrained network predicts."
    )


class StarUNetConfig(ComponentConfig):
    """U-Net at half the size of the image."""

    channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 128, 128),
        min_length=2,
        description="Channels per level; the first works at half the size, and each further one halves it again.",
    )
    residual_units: int = Field(default=1, ge=0, description="Convolutions with a shortcut per level; 0: plain ones.")


class StarLossConfig(ComponentConfig):
    """Weights of the terms, by default those of the paper."""

    distance_weight: float = Field(default=0.2, ge=0, description="Weight of the error of distances, per pixel of it.")
    background_weight: float = Field(
        default=1e-4, ge=0, description="Weight of distances predicted in the background, within that of distances."
    )


class StarNmsConfig(ComponentConfig):
    """From distances to labels."""

    probability: float = Field(
        default=0.5, ge=0, le=1, description="A pixel of more than this object probability proposes a polygon."
    )
    overlap: float = Field(
        default=0.4, ge=0, le=1, description="Of two polygons whose IoU is above this, the less probable is dropped."
    )
    spacing: int = Field(
        default=2,
        ge=1,
        description="Of each square with sides of so many pixels, the most probable pixel proposes; 1: all may.",
    )
    min_object_size: int = Field(default=1, ge=1, description="Objects of fewer pixels are dropped.")
    halo: int = Field(
        default=128,
        ge=0,
        description="Of large images, processed block by block: pixels looked at around a block; objects that reach "
        "further over its border may be cut.",
    )
    tune: bool = Field(
        default=True,
        description="Choose both thresholds on the validation images when a training is over; those here win a tie.",
    )


def thresholds(config: StarNmsConfig) -> list[dict[str, float]]:
    """Pairs of thresholds to try on validation images."""
    pairs = product((0.3, 0.4, 0.5, 0.6, 0.7), (0.3, 0.5)) if config.tune else ()
    return [{"probability": probability, "overlap": overlap} for probability, overlap in pairs]


def _on_all(name: str, **settings: Any) -> dict[str, Any]:
    """A transform of the image together with its target and, where there is one, its cost map."""
    return {"name": name, "keys": ["image", "target", "costmap"], **settings, "allow_missing_keys": True}


# Many small steps, and distances that count more than in the paper, for trainings of minutes: with its weight of 0.2
# the cross entropy, which stays above 0 for a probability that is no 0 or 1, decides where most steps go.
DEFAULTS: Mapping[str, Any] = {
    "network": {"name": "star-unet"},
    "loss": {"name": "star-distances", "distance_weight": 1.0},
    "dataset": {"name": "paired", "patch_size": 128, "patches_per_image": 4, "batch_size": 4},
    "preprocessing": [{"name": "normalize-percentile", "low": 1.0, "high": 99.8}],
    "augmentation": [
        _on_all("RandRotate90d", prob=0.75, spatial_axes=[-2, -1]),
        _on_all("RandFlipd", prob=0.5, spatial_axis=-2),
    ],
    "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 1e-4},
    "scheduler": {"name": "one-cycle", "pct_start": 0.15},
    "trainer": {"name": "lightning", "gradient_clip_val": 1.0},
    "postprocessing": [{"name": "star-nms"}],
    "metrics": [{"name": "average-precision"}],
}

# Brightness and contrast differ from image to image, and so do the sizes of nuclei.
STARS_2D: Mapping[str, Any] = {
    **DEFAULTS,
    "model": {"name": "star-convex"},
    "augmentation": [
        *DEFAULTS["augmentation"],
        _on_all("RandZoomd", min_zoom=1.0, max_zoom=1.6, prob=0.3),
        {"name": "RandScaleIntensityd", "keys": ["image"], "factors": 0.3, "prob": 0.5},
        {"name": "RandShiftIntensityd", "keys": ["image"], "offsets": 0.1, "prob": 0.5},
        {"name": "RandGaussianNoised", "keys": ["image"], "std": 0.05, "prob": 0.2},
    ],
    "trainer": {**DEFAULTS["trainer"], "max_epochs": 12, "check_val_every_n_epoch": 2},
    "postprocessing": [{"name": "star-nms", "min_object_size": 15}],
}
