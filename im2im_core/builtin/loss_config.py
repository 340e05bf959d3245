"""Settings of the losses that ship with the core."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from im2im_core.components import ComponentConfig

Warmup = Literal["linear", "cosine"]


class HuberConfig(ComponentConfig):
    """Settings of `huber`."""

    delta: float = Field(default=1.0, gt=0, description="error at which it turns from squared to absolute")


class SsimConfig(ComponentConfig):
    """Settings of `ssim`."""

    data_range: float = Field(default=1.0, gt=0, description="range of intensities in the target")
    window: int = Field(default=11, ge=3, description="pixels per axis of the Gaussian window; an odd number")
    sigma: float = Field(default=1.5, gt=0, description="standard deviation of the window in pixels")


class CrossEntropyConfig(ComponentConfig):
    """Settings of `cross-entropy`."""

    class_weights: tuple[float, ...] | None = Field(
        default=None, description="a weight for each class, background first"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="probability shared among all classes")
    ignore_index: int | None = Field(
        default=None, description="number in the target whose pixels do not count, as cost map 0 would; often 255"
    )


class BceConfig(ComponentConfig):
    """Settings of `bce`."""

    positive_weight: float | None = Field(
        default=None, gt=0, description="weight of foreground pixels; above 1 finds more"
    )


class DiceConfig(ComponentConfig):
    """Settings of `dice` and `generalized-dice`."""

    include_background: bool = Field(default=True, description="let class 0 count where there are several classes")
    smooth: float = Field(default=1e-5, ge=0, description="added to both sides of the fraction, for empty targets")


class DiceFocalConfig(DiceConfig):
    """Settings of `dice-focal`."""

    gamma: float = Field(default=2.0, ge=0, description="how strongly pixels that are right already lose weight")
    dice_weight: float = Field(default=1.0, ge=0, description="weight of the Dice part")
    focal_weight: float = Field(default=1.0, ge=0, description="weight of the focal part")


class PartConfig(ComponentConfig):
    """What `sum` reads of one of its parts; all else are settings of that loss."""

    name: str = Field(description="the loss")
    weight: float = Field(default=1.0, ge=0, description="factor of this loss")
    warmup_epochs: int = Field(default=0, ge=0, description="epochs in which the factor rises from 0 to the weight")
    warmup: Warmup = Field(default="linear", description="how it rises")


class SumConfig(ComponentConfig):
    """Settings of `sum`."""

    part_settings: ClassVar[tuple[str, ...]] = tuple(PartConfig.model_fields)
    parts: tuple[PartConfig, ...] = Field(
        min_length=1, description="losses, each with its name, weight, warmup_epochs and settings of its own"
    )
