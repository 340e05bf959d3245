"""Settings of the losses on regions and images."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from im2im_core import ComponentConfig


class GeneralizedDiceFocalConfig(ComponentConfig):
    """Settings of `generalized-dice-focal`."""

    class_weights: tuple[float, ...] | None = Field(
        default=None, description="a weight for each class in the focal part, background first"
    )
    include_background: bool = Field(default=True, description="let class 0 count where there are several classes")
    gamma: float = Field(default=2.0, ge=0, description="how strongly pixels that are right already lose weight")
    focal_softmax: bool = Field(default=False, description="let classes compete in the focal part, not each by itself")
    dice_weight: float = Field(default=1.0, ge=0, description="weight of the generalized Dice part")
    focal_weight: float = Field(default=1.0, ge=0, description="weight of the focal part")
    smooth: float = Field(default=1e-5, gt=0, description="added to both sides of the fraction, for empty targets")


class TverskyConfig(ComponentConfig):
    """Settings of `tversky`."""

    false_positives: float = Field(default=0.3, ge=0, description="weight of foreground found where there is none")
    false_negatives: float = Field(default=0.7, ge=0, description="weight of foreground that is missed")
    include_background: bool = Field(default=True, description="let class 0 count where there are several classes")
    smooth: float = Field(default=1e-5, gt=0, description="added to both sides of the fraction, for empty targets")


class PearsonConfig(ComponentConfig):
    """Settings of `pearson`."""

    smooth: float = Field(default=1e-8, gt=0, description="added to both variances, for constant images")


class MsSsimConfig(ComponentConfig):
    """Settings of `ms-ssim`."""

    ssim_weight: float = Field(default=0.84, ge=0, le=1, description="share of MS-SSIM; the rest is the absolute error")
    sigmas: tuple[PositiveFloat, ...] = Field(
        default=(0.5, 1.0, 2.0, 4.0, 8.0), min_length=1, description="widths of the Gaussian windows in pixels"
    )
    data_range: float = Field(default=1.0, gt=0, description="range of intensities in the target")


class BoundaryConfig(ComponentConfig):
    """Settings of `boundary`."""

    include_background: bool = Field(default=False, description="let class 0 count where classes exclude each other")
    pixel_size: tuple[PositiveFloat, ...] | None = Field(
        default=None, description="length of a pixel along each axis ([Z,] Y, X), in any unit; none: 1 everywhere"
    )
