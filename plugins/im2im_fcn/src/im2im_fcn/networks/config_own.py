"""Settings of the networks that are built here, from their papers. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from im2im_fcn.networks.checks import Width
from im2im_fcn.networks.config import DropoutConfig

# First steps of the anisotropic U-Net, by zoom ratio: after them, voxels are isotropic.
XY_STRIDES: Mapping[int, tuple[tuple[int, int, int], ...]] = {
    2: ((1, 2, 2),),
    3: ((1, 3, 3),),
    4: ((1, 2, 2), (1, 2, 2)),
}


class FNetConfig(DropoutConfig):
    """U-Net for label-free prediction."""

    depth: int = Field(default=4, ge=1, le=8, description="How often the size is halved.")
    mult_chan: int = Field(
        default=32, ge=1, description="Width: channels of the first level; each further level doubles them."
    )


class AnisotropicUNetConfig(DropoutConfig):
    """3D U-Net for voxels that are longer in z than in xy."""

    zoom_ratio: Literal[2, 3, 4] = Field(
        default=2,
        description="Z spacing over XY spacing. The first levels are coarser in XY only, until voxels are isotropic: "
        "2: one level, by 2; 3: one level, by 3; 4: two levels, by 2. All further levels halve Z, Y and X.",
    )
    channels: tuple[Width, ...] = Field(
        default=(16, 32, 64, 128), min_length=2, description="Channels per level, finest first."
    )

    @model_validator(mode="after")
    def _check(self) -> AnisotropicUNetConfig:
        needed = len(XY_STRIDES[self.zoom_ratio]) + 1
        if len(self.channels) < needed:
            raise ValueError(
                f"zoom_ratio {self.zoom_ratio} needs at least {needed} levels of channels, and there are "
                f"{len(self.channels)}"
            )
        return self

    @property
    def strides(self) -> tuple[tuple[int, int, int], ...]:
        """From each level to the next, in the order Z, Y, X."""
        first = XY_STRIDES[self.zoom_ratio]
        return first + ((2, 2, 2),) * (len(self.channels) - 1 - len(first))


class DeepLabV3Config(DropoutConfig):
    """Atrous spatial pyramid on a residual network."""

    backbone: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = Field(
        default="resnet18", description="Residual network below the pyramid; its weights start at random."
    )
    output_stride: Literal[8, 16] = Field(
        default=16, description="How much coarser the features are than the image; 8 is finer and slower."
    )
    atrous_rates: tuple[Width, ...] = Field(
        default=(6, 12, 18),
        min_length=1,
        description="Dilations of the pyramid, in pixels of the features. The paper doubles them for output_stride 8.",
    )
    channels: Width = Field(default=256, description="Channels of each branch of the pyramid.")
