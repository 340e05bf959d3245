"""Post-processing as im2im shows it. Loads nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from im2im_core import ComponentConfig, Postprocessor
from im2im_fcn.postprocessing.config import (
    LOCAL_METHODS,
    CastConfig,
    ConnectedComponentsConfig,
    FillHolesConfig,
    PruneLabelsConfig,
    RemoveSmallConfig,
    SeededWatershedConfig,
    ThicknessConfig,
    ThresholdConfig,
)


def _threshold(config: ThresholdConfig, *, spatial_dims: int) -> Any:
    from im2im_fcn.postprocessing.threshold import Threshold

    return Threshold(config, spatial_dims)


def _fill_holes(config: FillHolesConfig, *, spatial_dims: int, pixel_size: Mapping[str, float]) -> Any:
    from im2im_fcn.postprocessing.cleanup import fill_holes

    return fill_holes(config, spatial_dims, pixel_size)


def _remove_small(config: RemoveSmallConfig, *, spatial_dims: int, pixel_size: Mapping[str, float]) -> Any:
    from im2im_fcn.postprocessing.cleanup import remove_small

    return remove_small(config, spatial_dims, pixel_size)


def _thickness(config: ThicknessConfig, *, spatial_dims: int, pixel_size: Mapping[str, float]) -> Any:
    from im2im_fcn.postprocessing.thickness import thickness

    return thickness(config, spatial_dims, pixel_size)


def _connected_components(config: ConnectedComponentsConfig, *, spatial_dims: int) -> Any:
    from im2im_fcn.postprocessing.labels import ConnectedComponents

    return ConnectedComponents(config, spatial_dims)


def _seeded_watershed(config: SeededWatershedConfig, *, spatial_dims: int, pixel_size: Mapping[str, float]) -> Any:
    from im2im_fcn.postprocessing.watershed import seeded_watershed

    return seeded_watershed(config, spatial_dims, pixel_size)


def _prune_labels(config: PruneLabelsConfig, *, spatial_dims: int, pixel_size: Mapping[str, float]) -> Any:
    from im2im_fcn.postprocessing.labels import prune_labels

    return prune_labels(config, spatial_dims, pixel_size)


def _open_labels(config: ComponentConfig, *, spatial_dims: int) -> Any:
    from im2im_fcn.postprocessing.labels import OpenLabels

    return OpenLabels(spatial_dims)


def _cast(config: CastConfig) -> Any:
    from im2im_fcn.postprocessing.cast import Cast

    return Cast(config)


def _threshold_halo(config: ThresholdConfig) -> int | None:
    # A method that looks at the histogram looks at the whole image.
    if not isinstance(config.cutoff, str):
        return 0
    return config.window if config.cutoff in LOCAL_METHODS else None


def _region_halo(config: FillHolesConfig | RemoveSmallConfig) -> int | None:
    # Connected pixels, one more than the size, reach no further than the size. Without a pixel size that is unknown,
    # and where one class overwrites another the next class sees what is left.
    if config.unit != "pixel" or getattr(config, "overwrite_classes", False):
        return None
    return math.ceil(config.size if isinstance(config.size, float) else max(config.size, default=0.0)) + 1


_SEGMENTATION: Any = ("semantic-segmentation", "instance-segmentation")

POSTPROCESSORS: tuple[Postprocessor, ...] = (
    Postprocessor(
        name="threshold",
        summary="one output channel, above a number or a threshold found by a method of scikit-image",
        config=ThresholdConfig,
        factory=_threshold,
        halo=_threshold_halo,
    ),
    Postprocessor(
        name="fill-holes",
        summary="fill small holes in each class of a class map",
        config=FillHolesConfig,
        factory=_fill_holes,
        tasks=_SEGMENTATION,
        halo=_region_halo,
    ),
    Postprocessor(
        name="remove-small",
        summary="remove small regions of each class of a class map",
        config=RemoveSmallConfig,
        factory=_remove_small,
        tasks=_SEGMENTATION,
        halo=_region_halo,
    ),
    Postprocessor(
        name="thickness",
        summary="take the outermost layer off thick regions of a class map, and leave thin ones",
        config=ThicknessConfig,
        factory=_thickness,
        tasks=_SEGMENTATION,
        halo=lambda config: None,
    ),
    Postprocessor(
        name="connected-components",
        summary="label the connected regions of a class map",
        config=ConnectedComponentsConfig,
        factory=_connected_components,
        tasks=_SEGMENTATION,
        halo=lambda config: None,
        merges="labels",
    ),
    Postprocessor(
        name="seeded-watershed",
        summary="label touching objects of a foreground, separated by a watershed from seeds",
        config=SeededWatershedConfig,
        factory=_seeded_watershed,
        tasks=_SEGMENTATION,
        halo=lambda config: None,
        merges="labels",
    ),
    Postprocessor(
        name="prune-labels",
        summary="remove small labels and number the others anew",
        config=PruneLabelsConfig,
        factory=_prune_labels,
        tasks=_SEGMENTATION,
        halo=lambda config: None,
        merges="labels",
    ),
    Postprocessor(
        name="open-labels",
        summary="remove isolated pixels and thin bridges of labels by opening, and number them anew",
        factory=_open_labels,
        tasks=_SEGMENTATION,
        halo=lambda config: 2,
        merges="labels",
    ),
    Postprocessor(
        name="cast",
        summary="another pixel type; whole numbers are rounded and cut off at the limits of the type",
        config=CastConfig,
        factory=_cast,
    ),
)
