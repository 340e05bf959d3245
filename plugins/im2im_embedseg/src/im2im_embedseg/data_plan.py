"""What EmbedSeg finds in the data where the user said nothing. Loads no torch.

Lalit et al. 2022 (Medical Image Analysis 81:102523) set the coordinate axes by the voxel size, weigh the foreground by
its share of the pixels, and take the least size of an object from the training data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from im2im_core import ConfigError, DataFacts, DataSurvey
from im2im_embedseg.config import (
    FOREGROUND_WEIGHT,
    INITIAL_RADIUS,
    MIN_OBJECT_SIZE,
    ClusteringConfig,
    EmbeddingLossConfig,
    EmbedSegConfig,
)
from im2im_embedseg.crop_index import cached_crops
from im2im_embedseg.dataset_config import PATCH_SIZE, InstancesConfig

# A few specks that an annotator left behind should not decide, and a predicted object may be smaller than its target.
_SMALLEST_PERCENT, _SHARE_OF_SMALLEST = 1, 0.5
_MOST_WEIGHT = 50.0


def plan_embedseg(run: Any, facts: DataFacts, survey: Callable[[], DataSurvey]) -> Mapping[str, Any]:
    """Numbers for what is null.

    These are `model.extent`, `model.initial_radius`, `loss.foreground_weight`, and `min_object_size` of each
    `embedseg-clustering`. What the data do not tell gets the number that holds without data.
    """
    model, dims = run.model.config, facts.spatial_dims
    ratios = pixel_ratios(facts.pixel_size, dims)
    planned: dict[str, Any] = {}
    if model.extent is None:
        planned["extent"] = _short(_extent(model, ratios))
    loss = isinstance(run.loss.config, EmbeddingLossConfig) and run.loss.config.foreground_weight is None
    steps = [step.settings() for step in run.postprocessing]
    open_steps = [
        number
        for number, step in enumerate(run.postprocessing)
        if isinstance(step.config, ClusteringConfig) and step.config.min_object_size is None
    ]
    found = _surveyed(survey) if loss or open_steps or model.initial_radius is None else None
    if model.initial_radius is None:
        planned["initial_radius"] = _short(_radius(found, ratios))
    result: dict[str, Any] = {"model": planned}
    if loss:
        result["loss"] = {"foreground_weight": foreground_weight(run.dataset.config, found, dims)}
    for number in open_steps:
        steps[number]["min_object_size"] = least_size(found)
        result["postprocessing"] = steps
    return result


def pixel_ratios(pixel_size: Mapping[str, float], dims: int) -> tuple[float, ...]:
    """Pixel size of each axis, [Z], Y, X, over that of X; all 1 where one of them is unknown."""
    sizes = [float(pixel_size.get(axis) or 0) for axis in "ZYX"[-dims:]]
    if not all(size > 0 and math.isfinite(size) for size in sizes):
        return (1.0,) * dims
    return tuple(size / sizes[-1] for size in sizes)


def least_size(found: DataSurvey | None) -> int:
    """Half the size of the smallest objects but one in a hundred, in pixels."""
    if found is None or not found.object_sizes:
        return MIN_OBJECT_SIZE
    return int(np.percentile(found.object_sizes, _SMALLEST_PERCENT) * _SHARE_OF_SMALLEST)


def foreground_weight(data: Any, found: DataSurvey | None, dims: int) -> float:
    """Background pixels over foreground pixels of a patch, 1 to 50.

    A patch around an object holds that object, and beside it as much foreground as images hold.
    """
    if found is None or not 0 < found.foreground < 1:
        return FOREGROUND_WEIGHT
    share = found.foreground
    if isinstance(data, InstancesConfig) and found.object_sizes:
        patch = math.prod(_patch(data, dims))
        own = float(np.minimum(found.object_sizes, patch).mean()) / patch
        around = data.object_fraction if data.mode == "on-the-fly" else 1.0
        share += around * own * (1 - share)
    return round(min(max((1 - share) / share, 1.0), _MOST_WEIGHT), 2)


def _patch(data: InstancesConfig, dims: int) -> tuple[int, ...]:
    """Size of a patch; of cached crops, unless given, as they were made."""
    given = data.size(data.patch_size, dims, "dataset.patch_size")
    if given is None and (index := cached_crops(data)):
        return index.settings.patch_size
    return given or PATCH_SIZE[dims]


def _surveyed(survey: Callable[[], DataSurvey]) -> DataSurvey | None:
    try:
        return survey()
    except ConfigError:  # a data set that cannot tell
        return None


def _extent(model: EmbedSegConfig, ratios: Sequence[float]) -> list[float]:
    """Such that a micrometre is as long along each axis, and the X axis has length 1."""
    grid = model.grid_per_axis(len(ratios))
    if len(grid) != len(ratios):
        return [1.0] * len(ratios)  # the model refuses it, in words of its own
    return [ratio * (count - 1) / (grid[-1] - 1) for ratio, count in zip(ratios, grid, strict=True)]


def _radius(found: DataSurvey | None, ratios: Sequence[float]) -> list[float]:
    """Of a disk or ball of the objects' median size, in pixels of each axis."""
    if found is None or not found.object_sizes:
        in_x = INITIAL_RADIUS
    else:
        volume = float(np.median(found.object_sizes)) * math.prod(ratios)
        in_x = math.sqrt(volume / math.pi) if len(ratios) == 2 else (volume * 0.75 / math.pi) ** (1 / 3)
    return [max(in_x / ratio, 1.0) for ratio in ratios]


def _short(values: Sequence[float]) -> float | list[float]:
    """One number where all axes are alike."""
    rounded = [round(value, 4) for value in values]
    return rounded[0] if len(set(rounded)) == 1 else rounded
