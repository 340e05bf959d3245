"""Settings of the regularizers for semantic segmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from im2im_core import ComponentConfig

PixelMetric = Literal["huber", "l1", "mse", "charbonnier", "cosine"]
FractalMode = Literal["boxes", "information", "boxes-biased", "mean-entropy"]
Rules = tuple[tuple[NonNegativeInt, NonNegativeInt], ...]
Dimensions = Annotated[tuple[Annotated[int, Field(ge=0, le=2)], ...], Field(min_length=1)]


class TopologicalInteractionConfig(ComponentConfig):
    """Settings of `topological-interaction`."""

    inclusion: Rules = Field(
        default=(), description="pairs of classes (A, C): A lies within C and touches nothing else"
    )
    exclusion: Rules = Field(default=(), description="pairs of classes (A, C) that do not touch")
    neighbors: Literal["faces", "all"] = Field(
        default="faces", description="pixels that touch: across faces (4 or 6), or across corners too (8 or 26)"
    )
    thickness: int = Field(default=1, ge=1, description="pixels between two classes within which they touch")
    reduction: Literal["mean", "sum"] = Field(
        default="mean", description="mean over pixels, or their sum in each sample, which grows with the image"
    )


class ConnectivityConfig(ComponentConfig):
    """Settings of `connectivity-coherence`."""

    edge_weight: float = Field(default=0.4, ge=0, description="weight of the edge term")
    density_weight: float = Field(default=1.0, ge=0, description="weight of the density term")
    edge_metric: PixelMetric = Field(default="cosine", description="how edges are compared")
    density_metric: PixelMetric = Field(default="huber", description="how densities are compared")
    windows: Literal["single", "linear", "exponential"] = Field(
        default="single", description="one window; or several, of 3, 5, 7, .. or of 3, 5, 9, .. pixels"
    )
    size: int = Field(default=3, ge=1, le=31, description="width of the single window in pixels, or number of windows")
    window: Literal["square", "gaussian"] = Field(default="square", description="how neighbours in a window weigh")
    include_background: bool = Field(default=False, description="let class 0 count")


class HausdorffConfig(ComponentConfig):
    """Settings of `hausdorff`."""

    iterations: Annotated[int, Field(ge=1)] | Literal["exact", "auto"] = Field(
        default="exact",
        description="how far distances reach in pixels; exact: everywhere; auto: a quarter of the image",
    )
    distance: Literal["squared", "plain"] = Field(default="squared", description="how errors weigh by distance")
    normalize: bool = Field(default=True, description="divide weights by their 99th percentile")
    scale: float = Field(default=1.0, gt=0, le=1, description="resolution to work at; 0.5: half")


class FractalDimensionConfig(ComponentConfig):
    """Settings of `fractal-dimension`."""

    mode: FractalMode = Field(default="boxes", description="what is measured in boxes of growing size")
    scales: int = Field(default=3, ge=2, le=10, description="number of sizes: boxes of 2, 4, 8, .. pixels")
    binary: bool = Field(default=True, description="measure pixels above 0.5, not probabilities")


class PersistentHomologyConfig(ComponentConfig):
    """Settings of `persistent-homology`."""

    dimensions: Dimensions | None = Field(
        default=None, description="0 components, 1 holes, 2 cavities; none: all that the images can have"
    )
    metric: Literal["smooth-l1", "mse", "l1"] = Field(default="smooth-l1", description="how persistence images compare")
    resolution: int = Field(default=30, ge=2, description="pixels per axis of the persistence images")
    sigma: float = Field(default=0.05, gt=0, description="width of a feature in the persistence images")
    width: Literal["fixed", "shared", "separate"] = Field(
        default="fixed", description="use sigma; or adapt it to both diagrams together, or to each by itself"
    )
    threshold: float = Field(default=0.01, ge=0, description="features that last no longer are left out")
    most: int = Field(default=500, ge=1, description="number of features that are kept, longest first")
    scale: float = Field(default=1.0, gt=0, le=1, description="resolution to work at; 0.5: half, and much faster")


class TopologicalComplexityConfig(ComponentConfig):
    """Settings of `topological-complexity`."""

    dimensions: Dimensions | None = Field(
        default=None, description="0 components, 1 holes, 2 cavities; none: all that the images can have"
    )
    metric: Literal["sorted", "mse", "l1", "log-cosh"] = Field(
        default="sorted", description="compare sorted lifetimes, or three statistics of them"
    )
    normalize: bool = Field(default=False, description="divide lifetimes by the largest, by itself in the prediction")
    balance: bool = Field(default=False, description="harmonic mean of the dimensions instead of their sum")
    padded: bool = Field(default=False, description="fill lists of lifetimes with zeros to the number in `most`")
    threshold: float = Field(default=0.001, ge=0, description="features that last no longer are left out")
    temperature: float = Field(default=0.01, gt=0, description="softness of the statistics")
    most: int = Field(default=2000, ge=1, description="number of features that are kept, longest first")
    scale: float = Field(default=1.0, gt=0, le=1, description="resolution to work at; 0.5: half, and much faster")
