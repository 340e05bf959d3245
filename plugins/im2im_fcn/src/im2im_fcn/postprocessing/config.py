"""Settings of the post-processing. Loads nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from im2im_core import ComponentConfig

Unit = Literal["pixel", "micrometre"]
Method = Literal[
    "isodata", "li", "local", "mean", "minimum", "niblack", "otsu", "sauvola", "triangle", "yen"
]  # fmt: skip
LOCAL_METHODS: tuple[Method, ...] = ("local", "niblack", "sauvola")
Activation = Literal["none", "sigmoid", "softmax"]
Sizes = float | tuple[float, ...]
UNIT = "what size is measured in; micrometre: µm in a length, µm² in an area, µm³ in a volume"


class ThresholdConfig(ComponentConfig):
    """Settings of `threshold`."""

    channel: int = Field(default=0, ge=0, description="output channel that is looked at")
    cutoff: float | Method | None = Field(
        default=0.5,
        description="foreground is what lies above this number, or above the threshold of this method of scikit-image; "
        "nothing: the channel itself is the result",
    )
    activation: Activation = Field(default="none", description="applied to the outputs before the cutoff")
    window: int = Field(default=15, ge=3, description="odd width in pixels of the surroundings of local methods")
    foreground_value: int = Field(default=1, ge=1, le=255, description="value of the foreground in the result")

    @field_validator("window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"window must be odd (got '{value}')")
        return value


class _SizesConfig(ComponentConfig):
    @field_validator("size", check_fields=False)
    @classmethod
    def _not_negative(cls, value: Sizes) -> Sizes:
        if any(size < 0 for size in ((value,) if isinstance(value, float) else value)):
            raise ValueError("a size is a number from 0")
        return value


class FillHolesConfig(_SizesConfig):
    """Settings of `fill-holes`."""

    size: Sizes = Field(default=64.0, description="holes up to this size are filled; one number, or one per class")
    unit: Unit = Field(default="pixel", description=UNIT)
    by_plane: bool = Field(default=True, description="look for holes plane by plane, else in the volume")
    overwrite_classes: bool = Field(
        default=False, description="a class that is enclosed by another counts as part of the hole and is filled, too"
    )


class RemoveSmallConfig(_SizesConfig):
    """Settings of `remove-small`."""

    size: Sizes = Field(default=64.0, description="regions up to this size are removed; one number, or one per class")
    unit: Unit = Field(default="pixel", description=UNIT)


class ThicknessConfig(_SizesConfig):
    """Settings of `thickness`."""

    size: Sizes = Field(
        default=1.0,
        description="distance from the medial axis up to which a region stays as it is; one number, or one per class",
    )
    unit: Unit = Field(default="pixel", description=UNIT)
    erode_in_volume: bool = Field(
        default=False, description="the outermost layer is that of the volume, else that of each plane"
    )
    seed: int = Field(default=0, ge=0, description="decides between equally good pixels of the medial axis")


class ConnectedComponentsConfig(ComponentConfig):
    """Settings of `connected-components`."""

    connectivity: Literal["face", "full"] = Field(
        default="face", description="pixels belong together that share a side, or also those that share a corner"
    )
    classes: tuple[int, ...] = Field(default=(), description="classes whose objects are labelled; empty: all but 0")


class SeededWatershedConfig(ComponentConfig):
    """Settings of `seeded-watershed`."""

    channel: int = Field(default=0, ge=0, description="output channel with the foreground; not used for class maps")
    activation: Activation = Field(default="none", description="applied to the outputs before the cutoffs")
    cutoff: float = Field(default=0.5, description="foreground lies above this; not used for class maps")
    seeds: Literal["distance", "probability"] = Field(
        default="distance",
        description="an object begins where the distance to the background is largest, or in each region above "
        "seed_cutoff",
    )
    seed_channel: int | None = Field(
        default=None, ge=0, description="output channel with the seeds; nothing: that of the foreground"
    )
    seed_cutoff: float = Field(default=0.8, description="seeds lie above this, where seeds is probability")
    size: float = Field(default=5.0, ge=0, description="seeds by distance are at least this far apart along some axis")
    unit: Unit = Field(default="pixel", description=UNIT)
    smoothing: float = Field(default=1.0, ge=0, description="pixels by which distances are smoothed before seeding")


class PruneLabelsConfig(ComponentConfig):
    """Settings of `prune-labels`."""

    size: float = Field(default=64.0, ge=0, description="labels smaller than this are removed")
    unit: Unit = Field(default="pixel", description=UNIT)


class CastConfig(ComponentConfig):
    """Settings of `cast`."""

    dtype: Literal["uint8", "uint16", "int16", "int32", "float32"] = Field(
        default="uint16", description="pixel type of the result; for whole numbers: rounded, and cut off at its limits"
    )
