"""Settings of the generators."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from im2im_core import ComponentConfig


class ResnetGeneratorConfig(ComponentConfig):
    """Settings of `resnet-generator`."""

    features: int = Field(default=32, ge=1, description="channels at full size; each step down doubles them")
    down_blocks: int = Field(default=2, ge=0, le=6, description="how often the size is halved")
    residual_blocks: int = Field(default=6, ge=1, description="residual blocks at the smallest size")
    norm: Literal["batch", "instance"] = Field(default="instance", description="normalization layers")
    upsample: Literal["deconv", "nontrainable"] = Field(
        default="deconv", description="way up: transposed convolutions as published, or interpolation, free of a grid"
    )
    final_activation: Literal["none", "tanh"] = Field(
        default="none",
        description="tanh as published holds the output in the networks' range, which cuts off highlights",
    )
    activate_residual: bool = Field(
        default=False, description="a ReLU before a block's input is added, as some implementations have; not published"
    )
