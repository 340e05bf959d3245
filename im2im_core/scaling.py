"""Intensities scaled by known numbers: of an image by its normalization, of targets by their range. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from im2im_core.errors import ConfigError
from im2im_core.interfaces import DataFacts, DataSurvey, NumpyArray, Sample


@dataclass(frozen=True, slots=True)
class Scaling:
    """`(x - offset) * factor`, with numbers that are known already: what a normalization's `fit` makes of an image.

    Attributes:
        offset: per channel (or one for all).
        factor: per channel (or one for all); 0 where the image is constant.
        key: the part of a sample that it changes; others stay as they are.
        clip: cut off below 0 and above 1.
    """

    offset: NumpyArray
    factor: NumpyArray
    key: str = "image"
    clip: bool = False
    context: ClassVar[int] = 0
    """No pixel but the one at hand is looked at."""

    def __call__(self, sample: Sample) -> Sample:
        """A new sample dict in which the part is scaled, as float32; numpy and torch alike."""
        return {**sample, self.key: self.apply(sample[self.key])} if self.key in sample else sample

    def apply(self, array: Any) -> Any:
        """Scale an array (C, [Z,] Y, X)."""
        shape = (-1, *(1 for _ in array.shape[1:]))
        offset, factor = self.offset.astype(np.float32).reshape(shape), self.factor.astype(np.float32).reshape(shape)
        if isinstance(array, np.ndarray):
            result = array.astype(np.float32, copy=False) - offset
            result *= factor
            return result.clip(0, 1) if self.clip else result
        result = (array.float() - array.new_tensor(offset, dtype=None).float()) * array.new_tensor(factor).float()
        return result.clip(0, 1) if self.clip else result


def plan_target_range(run: Any, facts: DataFacts, survey: Callable[[], DataSurvey]) -> Mapping[str, Any]:
    """For a model with a setting `target_range`, of each target channel what its network sees as 0 and 1.

    Args:
        run: the RunConfig.
        facts: how many channels the targets have.
        survey: reads their pixels; only where the setting was left open.

    Returns:
        The setting, or nothing where it is given: the 1st and 99.8th percentile of all targets, or 0 and 1 where
        preprocessing has scaled them already.

    Raises:
        ConfigError: the ranges given are not one for each channel.
    """
    given = run.model.config.target_range
    if given is not None:
        if len(given) != facts.target_channels:
            raise ConfigError(
                f"model.target_range: '{len(given)}' ranges for {facts.target_channels} target channels",
                "give low and high of each channel, or leave it out",
            )
        return {}
    if run.changes_target:
        return {"target_range": [[0.0, 1.0]] * facts.target_channels}
    ranges = survey().target_range
    return {"target_range": [[low, high if high > low else low + 1.0] for low, high in ranges]}
