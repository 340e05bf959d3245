"""Settings. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from im2im_core import ComponentConfig

Spacing = int | tuple[int, ...]
Lengths = float | tuple[float, ...]

# What a setting is where it is null and was not planned from data.
INITIAL_RADIUS = 8.0
FOREGROUND_WEIGHT = 10.0
MIN_OBJECT_SIZE = 36


class EmbedSegConfig(ComponentConfig):
    """The geometry of the embedding space, shared by network, loss and clustering."""

    n_sigma: int = Field(
        default=0, ge=0, le=3, description="Bandwidths per pixel: one per axis, 1 for round objects; 0: one per axis."
    )
    grid: Spacing = Field(
        default=1024, description="Pixels over which a coordinate axis extends; one number, or one per axis [Z], Y, X."
    )
    extent: Lengths | None = Field(
        default=None,
        description="Length of a coordinate axis of `grid` pixels; one number, or one per axis [Z], Y, X. null: by the "
        "pixel size of the data, so that a micrometre is as long along each axis, and X has 1.",
    )
    initial_radius: Lengths | None = Field(
        default=None,
        description="Radius in pixels of the objects that the untrained network proposes; one number, or one per axis "
        "[Z], Y, X. null: from the median size of the objects in the data.",
    )

    @field_validator("grid")
    @classmethod
    def _at_least_two(cls, value: Spacing) -> Spacing:
        if any(n < 2 for n in ((value,) if isinstance(value, int) else value)):
            raise ValueError("a coordinate axis needs at least 2 pixels")
        return value

    @field_validator("extent", "initial_radius")
    @classmethod
    def _positive(cls, value: Lengths | None) -> Lengths | None:
        if value is not None and any(not length > 0 for length in ((value,) if isinstance(value, float) else value)):
            raise ValueError("a length must be above 0")
        return value

    def sigmas(self, spatial_dims: int) -> int:
        """Number of bandwidth channels."""
        return self.n_sigma or spatial_dims

    def grid_per_axis(self, spatial_dims: int) -> tuple[int, ...]:
        """Grid as ([Z], Y, X)."""
        return (self.grid,) * spatial_dims if isinstance(self.grid, int) else self.grid

    def extent_per_axis(self, spatial_dims: int) -> tuple[float, ...]:
        """Extent as ([Z], Y, X)."""
        return _per_axis(1.0 if self.extent is None else self.extent, spatial_dims)

    def radius_per_axis(self, spatial_dims: int) -> tuple[float, ...]:
        """Initial radius as ([Z], Y, X)."""
        return _per_axis(INITIAL_RADIUS if self.initial_radius is None else self.initial_radius, spatial_dims)


def _per_axis(value: Lengths, spatial_dims: int) -> tuple[float, ...]:
    return (value,) * spatial_dims if isinstance(value, float) else value


class EmbeddingLossConfig(ComponentConfig):
    """Weights of the spatial-embedding loss."""

    foreground_weight: float | None = Field(
        default=None,
        gt=0,
        description="Weight of foreground pixels in the seed term; null: background over foreground in the data.",
    )
    w_inst: float = Field(default=1.0, ge=0, description="Weight of the instance term (Lovasz hinge).")
    w_var: float = Field(default=10.0, ge=0, description="Weight of the variance of sigma inside an object.")
    w_seed: float = Field(default=1.0, ge=0, description="Weight of the seed term.")
    center: Literal["centroid", "approximate-medoid", "medoid"] = Field(
        default="centroid", description="The point that the offsets of an object aim at."
    )


class BranchedERFNetConfig(ComponentConfig):
    """Branched ERFNet."""

    seed_channels: int = Field(default=1, ge=0, description="Last output channels that get a decoder of their own.")


class ResidualUNetConfig(ComponentConfig):
    """Residual U-Net."""

    channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 128), min_length=2, description="Channels per level; every level halves the size."
    )
    residual_units: int = Field(default=1, ge=0, description="Convolutions with a shortcut per level; 0: plain ones.")
    norm: Literal["batch", "instance"] = Field(default="batch", description="Normalization layers.")


class ClusteringConfig(ComponentConfig):
    """From the embedding to labels."""

    seed_threshold: float = Field(
        default=0.5, ge=0, le=1, description="Least seed value of a pixel that may found an object."
    )
    foreground_threshold: float = Field(
        default=0.5, ge=0, le=1, description="Least seed value of a pixel that may belong to an object."
    )
    min_object_size: int | None = Field(
        default=None,
        ge=0,
        description="Objects of at most so many pixels are dropped; null: half the size of the smallest in the data.",
    )
    min_mask_sum: int = Field(
        default=0, ge=0, description="With no more foreground pixels than this, the result is empty."
    )
    min_unclustered_sum: int = Field(default=0, ge=0, description="Stop when no more pixels than this are left over.")
    halo: int = Field(
        default=128,
        ge=0,
        description="Of large images, clustered block by block: pixels looked at around a block; objects that "
        "reach further over its border may be cut.",
    )
    tune: bool = Field(
        default=True,
        description="Choose both thresholds on the validation images when a training is over; those here win a tie.",
    )
