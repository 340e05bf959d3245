"""Settings of the discriminators."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from im2im_core import ComponentConfig


class PatchConfig(ComponentConfig):
    """Settings of `patch`."""

    features: int = Field(default=32, ge=1, description="channels of the first layer; each further one doubles them")
    layers: int = Field(
        default=3,
        ge=1,
        le=8,
        description="layers that halve the size; with 3 a verdict is about 46 pixels of the image",
    )
    norm: Literal["batch", "instance"] = Field(default="instance", description="normalization layers")


class MultiScaleConfig(PatchConfig):
    """Settings of `multi-scale`."""

    scales: int = Field(default=2, ge=1, le=6, description="discriminators, each of an image half as large")
