"""Normalization of intensities, and MONAI's dictionary transforms by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from im2im_core.builtin.transform_config import NormalizeConfig, NormalizePercentileConfig
from im2im_core.errors import ComponentError, ConfigError, DataError
from im2im_core.image import Image
from im2im_core.interfaces import NumpyArray, Sample
from im2im_core.scaling import Scaling
from im2im_core.signatures import check_arguments, monai_transforms

MOST_PIXELS = 4_000_000
LABEL_KEYS = ("target", "costmap")

Range = tuple[NumpyArray, NumpyArray]


@dataclass(frozen=True, slots=True)
class Normalize:
    """Normalizes each part of a sample by its own statistics; `fit` takes them from a whole image once.

    Attributes:
        statistics: from pixels (C, N) to offset and width of each channel.
        keys: parts of a sample.
        per_channel: each channel by itself.
        clip: cut off below 0 and above 1.
    """

    statistics: Callable[[NumpyArray], Range]
    keys: tuple[str, ...] = ("image",)
    per_channel: bool = True
    clip: bool = False

    def fit(self, image: Image | NumpyArray) -> Callable[[Sample], Sample]:
        """The same transform with the statistics of this image, to be applied to windows of it.

        Args:
            image: an `Image`, lazy or not, or an array (C, [Z,] Y, X). Of more than four million pixels a regular
                sub-sample is looked at.

        Raises:
            DataError: NaN or infinite values.
        """
        if "image" not in self.keys:
            return _unchanged
        return self._scaling(image, "image")

    def __call__(self, sample: Sample) -> Sample:
        """A new sample dict with normalized parts.

        Raises:
            DataError: NaN or infinite values.
        """
        for key in self.keys:
            if key in sample:
                sample = self._scaling(np.asarray(sample[key]), key)(sample)
        return sample

    def _scaling(self, image: Image | NumpyArray, key: str) -> Scaling:
        pixels = sub_sample(image)
        pixels = pixels.reshape(pixels.shape[0] if self.per_channel else 1, -1)
        if not np.isfinite(pixels).all():
            raise DataError(f"the {key} holds NaN or infinite values", "replace them before normalizing")
        if pixels.size == 0:
            raise DataError(f"the {key} is empty", "take it out of the data set")
        offset, width = self.statistics(pixels)
        factor = np.divide(1.0, width, out=np.zeros_like(width), where=width > 0)
        return Scaling(offset, factor, key, self.clip)


def sub_sample(image: Image | NumpyArray) -> NumpyArray:
    """At most about four million pixels per channel, evenly spread; (C, [Z,] Y, X), as float64."""
    data: Any = image.channels_first(image.spatial_dims).data if isinstance(image, Image) else image
    counts = list(data.shape[1:])
    strides = [1] * len(counts)
    while np.prod([float(c) for c in counts]) > MOST_PIXELS:
        widest = counts.index(max(counts))
        strides[widest] += 1
        counts[widest] = -(-data.shape[1 + widest] // strides[widest])
    return np.asarray(data[(slice(None), *(slice(None, None, stride) for stride in strides))]).astype(np.float64)


def percentile_range(pixels: NumpyArray, *, low: float, high: float) -> Range:
    """Low percentile and distance to the high one. Where they coincide, as in a nearly empty image: minimum, range."""
    bottom, top = np.percentile(pixels, [low, high], axis=1)
    least, width = full_range(pixels)
    flat = top <= bottom
    return np.where(flat, least, bottom), np.where(flat, width, top - bottom)


def full_range(pixels: NumpyArray) -> Range:
    """Minimum and distance to the maximum."""
    least: NumpyArray = pixels.min(axis=1)
    return least, pixels.max(axis=1) - least


def mean_and_deviation(pixels: NumpyArray) -> Range:
    """Mean and standard deviation."""
    # Of a constant image the deviation is rounding error, not 0.
    constant = pixels.max(axis=1) == pixels.min(axis=1)
    return pixels.mean(axis=1), np.where(constant, 0.0, pixels.std(axis=1))


def build_percentile(config: NormalizePercentileConfig) -> Normalize:
    """Transform of `normalize-percentile`."""
    statistics = partial(percentile_range, low=config.low, high=config.high)
    return Normalize(statistics, config.keys, config.per_channel, config.clip)


def build_zscore(config: NormalizeConfig) -> Normalize:
    """Transform of `normalize-zscore`."""
    return Normalize(mean_and_deviation, config.keys, config.per_channel)


def build_minmax(config: NormalizeConfig) -> Normalize:
    """Transform of `normalize-minmax`."""
    return Normalize(full_range, config.keys, config.per_channel)


def monai_transform(name: str, arguments: Mapping[str, Any]) -> Callable[[Sample], Sample]:
    """One of MONAI's dictionary transforms.

    Where `keys` is not given, transforms that move pixels change image, target and cost map, all others the image.
    Where `mode` is not given, targets and cost maps are resampled by nearest neighbour, since a mean of two labels is a
    third one. Keys that a sample lacks are passed over.

    Raises:
        ComponentError: no transform of that name is on offer.
        ConfigError: the arguments do not fit it.
    """
    table = monai_transforms()
    if name not in table:
        raise ComponentError(f"MONAI offers no transform '{name}' here", "im2im list transforms")
    problems = check_arguments(name, table[name], arguments)
    if problems:
        raise ConfigError("\n".join(problems), f"see im2im show transform {name}")
    import monai.transforms

    settings = monai_defaults(name, arguments)
    try:
        built: Callable[[Sample], Sample] = getattr(monai.transforms, table.canonical(name))(**settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"'{name}': {error}", f"see im2im show transform {name}") from error
    return built


def monai_defaults(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that MONAI is given: keys and interpolation modes are added where the user gave none.

    Arguments that repeat MONAI's default are left out. A configuration that was written out in full repeats all of
    them, some as text of the source ("GridSampleMode.BILINEAR").
    """
    signature = monai_transforms()[name]
    defaults = {p.name: p.default for p in signature.parameters if not p.required}
    settings = {key: value for key, value in arguments.items() if key not in defaults or value != defaults[key]}
    for key in ("keys", "allow_missing_keys"):
        if key in defaults:
            settings.setdefault(key, defaults[key])
    keys = settings.get("keys")
    if signature.folder == "spatial" and "mode" in defaults and isinstance(keys, list | tuple):
        # The default reads as 'GridSampleMode.BILINEAR': its last part is the value.
        default = str(defaults["mode"]).rpartition(".")[2].lower()
        settings.setdefault("mode", ["nearest" if key in LABEL_KEYS else default for key in keys])
    return settings


def _unchanged(sample: Sample) -> Sample:
    return sample
