"""Settings of the metrics."""

from __future__ import annotations

from pydantic import Field, PositiveInt, field_validator

from im2im_core.components import ComponentConfig


class AveragePrecisionConfig(ComponentConfig):
    """Settings of `average-precision`."""

    thresholds: tuple[float, ...] = Field(
        default=(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9),
        min_length=1,
        description="IoU thresholds that `mean_ap` averages over, each above 0 and at most 1, in steps of 0.01 or more",
    )

    @field_validator("thresholds")
    @classmethod
    def _usable(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        # The figures are named by two decimals; a third one would make two figures share a name.
        rounded = tuple(sorted({round(threshold, 2) for threshold in thresholds}))
        if len(rounded) != len(thresholds) or any(abs(t - round(t, 2)) > 1e-9 for t in thresholds):
            raise ValueError("thresholds must differ and have at most two decimals")
        if rounded[0] <= 0 or rounded[-1] > 1:
            raise ValueError("thresholds must be above 0 and at most 1")
        return rounded


class InstanceIouConfig(ComponentConfig):
    """Settings of `instance-iou`."""

    border: int = Field(default=5, ge=0, description="objects that come so near to the sides of Y and X are left out")
    inside: float = Field(
        default=0.25, ge=0, lt=1, description="least share of a predicted object that lies in the target object"
    )
    count_missed: bool = Field(default=True, description="an object that was not found counts as 0; false: not at all")


class OverlapConfig(ComponentConfig):
    """Settings of `dice` and `iou`."""

    include_background: bool = Field(default=False, description="let class 0 count in the mean over classes")
    foreground: bool = Field(
        default=False, description="compare all that is not 0 as one class, whatever its value; right for object labels"
    )
    threshold: float = Field(
        default=0.5, description="a floating-point mask that is no class map is foreground where it is above this"
    )
    ignore_index: int | None = Field(
        default=None, description="number in the target whose pixels do not count, as in the loss cross-entropy"
    )


class IntensityRangeConfig(ComponentConfig):
    """Settings of `psnr` and `ssim`."""

    data_range: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="intensity range in the target's units; by default maximum minus minimum of each target",
    )


class FeatureDistanceConfig(ComponentConfig):
    """Settings of `frechet-distance` and `kernel-distance`."""

    tile: PositiveInt = Field(
        default=64, description="pixels; images are cut into tiles of about this side, and each tile is one sample"
    )
