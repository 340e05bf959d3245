"""Settings of the convolutional networks that MONAI has. Loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from im2im_core import ComponentConfig
from im2im_fcn.networks.checks import OddKernel, PerAxis, Width, check_divisible, check_steps

Norm = Literal["batch", "instance"]
Stride = Annotated[int, Field(ge=1, le=4)]
Backbone = Literal[
    "resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200",
    "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5",
    "efficientnet-b6", "efficientnet-b7", "efficientnet-b8", "efficientnet-l2",
]  # fmt: skip


class DropoutConfig(ComponentConfig):
    """What every network that can drop channels has."""

    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of channels dropped at random; 0: none.")


class UNetConfig(DropoutConfig):
    """Residual U-Net."""

    channels: tuple[Width, ...] = Field(
        default=(16, 32, 64, 128), min_length=2, description="Channels per level, finest first."
    )
    strides: tuple[Stride, ...] = Field(
        default=(2, 2, 2), description="How much coarser each level is; one fewer than channels. The first is at once."
    )
    kernel_size: OddKernel = Field(default=3, description="Size of the convolutions on the way down.")
    up_kernel_size: OddKernel = Field(default=3, description="Size of the convolutions on the way up.")
    num_res_units: int = Field(default=2, ge=0, description="Convolutions with a shortcut per level; 0: plain ones.")
    norm: Norm = Field(default="batch", description="Normalization layers.")

    @model_validator(mode="after")
    def _check(self) -> UNetConfig:
        check_steps(self.channels, self.strides)
        return self


class BasicUNetConfig(DropoutConfig):
    """U-Net of plain convolutions and max pooling."""

    features: tuple[Width, ...] = Field(
        default=(32, 32, 64, 128, 256, 32),
        min_length=6,
        max_length=6,
        description="Channels of the five levels, finest first, and of the last layer.",
    )
    norm: Norm = Field(default="instance", description="Normalization layers.")
    upsample: Literal["deconv", "nontrainable"] = Field(
        default="deconv", description="Way up: transposed convolutions, or interpolation."
    )


class AttentionUNetConfig(DropoutConfig):
    """U-Net with attention gates on its shortcuts."""

    channels: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        default=(16, 32, 64, 128), min_length=2, description="Channels per level, finest first."
    )
    strides: tuple[Stride, ...] = Field(
        default=(2, 2, 2), description="How much coarser each level is; one fewer than channels."
    )
    kernel_size: OddKernel = Field(default=3, description="Size of the convolutions on the way down.")
    up_kernel_size: OddKernel = Field(default=3, description="Size of the convolutions on the way up.")

    @model_validator(mode="after")
    def _check(self) -> AttentionUNetConfig:
        check_steps(self.channels, self.strides)
        return self


class DynUNetConfig(DropoutConfig):
    """U-Net of any topology, as nnU-Net plans it. Numbers per level are one for all axes, or a list per axis."""

    strides: tuple[PerAxis, ...] = Field(
        default=(1, 2, 2, 2, 2), min_length=1, description="How much coarser each level is; the first is 1."
    )
    kernels: tuple[PerAxis, ...] = Field(
        default=(), description="Size of each level's convolutions, as many as strides; empty: 3 everywhere."
    )
    filters: tuple[Width, ...] = Field(
        default=(),
        description="Channels per level, as many as strides; empty: 32, doubled up to 512 (2D) or 320 (3D).",
    )
    norm: Norm = Field(default="instance", description="Normalization layers.")
    res_block: bool = Field(default=False, description="Shortcuts around each level's convolutions.")

    @model_validator(mode="after")
    def _check(self) -> DynUNetConfig:
        levels = len(self.strides)
        for name, values in (("kernels", self.kernels), ("filters", self.filters)):
            if values and len(values) != levels:
                raise ValueError(f"{levels} strides need as many {name}, and there are {len(values)}")
        axes = {len(value) for value in self.strides + self.kernels if isinstance(value, tuple)}
        if len(axes) > 1 or axes - {2, 3}:
            raise ValueError(f"strides and kernels are given for {sorted(axes)} axes; give each 2, or each 3")
        for stride, kernel in zip(self.strides, self.kernels or (3,) * levels, strict=True):
            _check_level(stride, kernel)
        if set(_numbers(self.strides[0])) != {1}:
            raise ValueError(f"the first level is the image's own: its stride is 1, not {self.strides[0]}")
        return self


def _check_level(stride: PerAxis, kernel: PerAxis) -> None:
    axes = max(len(_numbers(stride)), len(_numbers(kernel)))
    for step, size in zip(_numbers(stride, axes), _numbers(kernel, axes), strict=True):
        if size < 1 or size % 2 == 0:
            raise ValueError(f"a kernel of {size} pixels has no middle; give an odd number")
        if step < 1 or step > size + 1:
            raise ValueError(f"a kernel of {size} pixels goes with strides from 1 to {size + 1}, not {step}")


def _numbers(value: PerAxis, axes: int = 1) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else value


class HighResNetConfig(DropoutConfig):
    """Residual network that never leaves full size, with dilated convolutions."""

    channels: tuple[Width, ...] = Field(
        default=(16, 32, 64), min_length=1, description="Channels per stage; each stage doubles the dilation."
    )
    repeats: int = Field(default=3, ge=1, description="Residual blocks per stage.")
    kernel_size: OddKernel = Field(default=3, description="Size of the convolutions.")
    last_channels: Width = Field(default=80, description="Channels of the last layer but one.")

    @model_validator(mode="after")
    def _check(self) -> HighResNetConfig:
        if list(self.channels) != sorted(self.channels):
            raise ValueError(f"channels may not shrink from stage to stage, and are {list(self.channels)}")
        return self


class FlexibleUNetConfig(DropoutConfig):
    """U-Net on a network for classification; its weights start at random."""

    backbone: Backbone = Field(default="resnet18", description="Network of the way down.")
    decoder_channels: tuple[Width, ...] = Field(
        default=(256, 128, 64, 32, 16), min_length=5, max_length=5, description="Channels on the way up."
    )


class SegResNetConfig(DropoutConfig):
    """Residual network that interpolates on its way up."""

    init_filters: int = Field(default=16, ge=1, description="Channels of the first level; each level doubles them.")
    blocks_down: tuple[Width, ...] = Field(
        default=(1, 2, 2, 4), min_length=1, description="Residual blocks per level on the way down."
    )
    blocks_up: tuple[Width, ...] = Field(
        default=(1, 1, 1), description="Residual blocks per level on the way up; one fewer than blocks_down."
    )
    num_groups: int = Field(default=8, ge=1, description="Groups of channels that are normalized together.")

    @model_validator(mode="after")
    def _check(self) -> SegResNetConfig:
        if len(self.blocks_up) != len(self.blocks_down) - 1:
            raise ValueError(f"blocks_up needs {len(self.blocks_down) - 1} numbers, and has {len(self.blocks_up)}")
        check_divisible("init_filters", self.init_filters, self.num_groups, "num_groups")
        return self
