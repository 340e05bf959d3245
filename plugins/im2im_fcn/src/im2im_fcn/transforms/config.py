"""Settings of the transforms. Loads nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from im2im_core import ComponentConfig

PadMode = Literal["mean", "replicate", "reflect", "symmetric", "wrap"]
StainOutput = Literal["normalised", "haematoxylin", "eosin"]
Operation = Literal["gauss", "impulse", "speckle", "jitter", "shift", "rotation", "dropout"]
IN_PLACE: tuple[Operation, ...] = ("gauss", "impulse", "speckle", "jitter", "dropout")


class NormalizeCenterConfig(ComponentConfig):
    """Settings of `normalize-center`."""

    center: int | None = Field(
        default=None, ge=0, description="index of the plane in focus; nothing: the middle of the stack"
    )
    window: int = Field(
        default=32, ge=1, description="planes around it that mean and deviation are taken from; at most the whole stack"
    )
    min_z: int = Field(default=1, ge=1, description="stacks with fewer planes are refused")
    per_channel: bool = Field(default=True, description="statistics of each channel by itself, else of all together")


class MacenkoConfig(ComponentConfig):
    """Settings of `macenko`."""

    output: StainOutput = Field(
        default="normalised",
        description="image with both stains normalised, or the part of one stain, each as RGB",
    )
    light: float = Field(default=240.0, gt=0, description="grey value of transmitted light where nothing is stained")
    alpha: float = Field(
        default=1.0, ge=0, lt=50, description="percent of the pixels beyond each stain's direction (robust extremes)"
    )
    beta: float = Field(default=0.15, ge=0, description="pixels of a lower optical density count as unstained")


class PadToMultipleConfig(ComponentConfig):
    """Settings of `pad-to-multiple`."""

    multiple: int | tuple[int, ...] = Field(
        default=16, description="the size becomes a multiple of this; one number, or one per axis [Z], Y, X"
    )
    pad_value: float | PadMode = Field(
        default=0.0, description="what is added to the image: a number, the mean of the image, or how it is continued"
    )

    @field_validator("multiple")
    @classmethod
    def _positive(cls, value: int | tuple[int, ...]) -> int | tuple[int, ...]:
        numbers = (value,) if isinstance(value, int) else value
        if not numbers or any(number < 1 for number in numbers):
            raise ValueError("a multiple is a whole number from 1")
        return value


class PadZConfig(ComponentConfig):
    """Settings of `pad-z`."""

    planes: int = Field(ge=1, description="stacks with fewer planes are padded to this number")
    pad_value: float | PadMode = Field(
        default=0.0, description="what is added to the image: a number, the mean of the image, or how it is continued"
    )


class PerturbConfig(ComponentConfig):
    """Settings of `perturb`."""

    operations: tuple[Operation, ...] = Field(
        default=IN_PLACE,
        min_length=1,
        description="a random number of these is applied in random order; shift and rotation move the image alone, so "
        "that it fits the target less well",
    )
    probability: float = Field(default=1.0, ge=0, le=1, description="how often a patch is perturbed at all")
    limits: tuple[float, float] = Field(
        default=(0.0, 1.0), description="intensities of black and white: of impulses, and where the result is cut off"
    )
    clip: bool = Field(default=True, description="cut the result off at the limits")
    gauss_std: float = Field(default=0.01, ge=0, description="standard deviation of the Gaussian noise")
    impulse_share: float = Field(default=0.01, ge=0, le=1, description="share of pixels set to white or to black")
    speckle_std: float = Field(default=0.1, ge=0, description="standard deviation of the factor of each pixel")
    jitter: float = Field(
        default=0.1, ge=0, description="largest change of contrast; brightness changes by at most a fifth of it"
    )
    max_shift: int = Field(default=2, ge=0, description="largest shift in Y and X, pixels")
    max_angle: float = Field(default=2.0, ge=0, le=180, description="largest rotation in the YX plane, degrees")
    dropout_share: float = Field(default=0.02, ge=0, le=1, description="share of pixels set to 0")

    @model_validator(mode="after")
    def _valid(self) -> PerturbConfig:
        if self.limits[0] >= self.limits[1]:
            raise ValueError(f"limits must rise (got '{self.limits[0]}' and '{self.limits[1]}')")
        if len(set(self.operations)) < len(self.operations):
            raise ValueError("operations: each may be named once")
        return self
