"""Random perturbation of the image alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Self

import numpy as np
from scipy import ndimage

from im2im_core import Sample
from im2im_fcn.transforms.arrays import NumpyArray, as_given
from im2im_fcn.transforms.config import PerturbConfig

RandomState = np.random.RandomState


class Perturb:
    """Applies a random number of operations in random order, and cuts off at the limits.

    Args:
        config: settings.
        spatial_dims: 2 or 3.
    """

    def __init__(self, config: PerturbConfig, spatial_dims: int) -> None:
        self.config = config
        self.spatial_dims = spatial_dims
        self._state = RandomState()

    def set_random_state(self, seed: int | None = None, state: RandomState | None = None) -> Self:
        """Take all further draws from `state`, or from a new generator of this seed, as MONAI's `Randomizable` does."""
        self._state = RandomState(seed) if state is None else state
        return self

    def __call__(self, sample: Sample) -> Sample:
        """A new sample with the image (C, [Z,] Y, X), if it has one, perturbed; target and cost map stay."""
        if "image" not in sample or self._state.random_sample() >= self.config.probability:
            return sample
        count = self._state.randint(1, len(self.config.operations) + 1)
        order = self._state.permutation(len(self.config.operations))[:count]
        image = np.asarray(sample["image"])
        result = apply_operations(image, [self.config.operations[i] for i in order], self.config, self._state)
        return {**sample, "image": as_given(result, sample["image"])}


def apply_operations(image: NumpyArray, names: Iterable[str], config: PerturbConfig, state: RandomState) -> NumpyArray:
    """Operations in this order, then the limits.

    Noise and dropout are drawn for each pixel and channel; jitter, shift and rotation once for all channels.

    Args:
        image: (C, [Z,] Y, X).
        names: operations.
        config: their strengths.
        state: where they draw from.

    Returns:
        a new array, float32.
    """
    image = image.astype(np.float32)
    for name in names:
        image = OPERATIONS[name](image, config, state)
    return (image.clip(*config.limits) if config.clip else image).astype(np.float32)


def _gauss(image: NumpyArray, config: PerturbConfig, state: RandomState) -> NumpyArray:
    return image + state.normal(0, config.gauss_std, image.shape)


def _impulse(image: NumpyArray, config: PerturbConfig, state: RandomState) -> NumpyArray:
    image = image.copy()
    count = int(config.impulse_share * image.size / 2)
    for value in reversed(config.limits):
        image[tuple(state.randint(0, length, count) for length in image.shape)] = value
    return image


def _speckle(image: NumpyArray, config: PerturbConfig, state: RandomState) -> NumpyArray:
    return image * (1 + state.normal(0, config.speckle_std, image.shape))


def _jitter(image: NumpyArray, config: PerturbConfig, state: RandomState) -> NumpyArray:
    contrast = state.uniform(-config.jitter, config.jitter)
    brightness = state.uniform(-config.jitter / 5, config.jitter / 5)
    return image * (1 + contrast) + brightness


def _shift(image: NumpyArray, config: PerturbConfig, state: RandomState) -> NumpyArray:
    offset = [state.randint(-config.max_shift, config.max_shift + 1) for _ in "YX"]
    still = [0] * (image.ndim - 2)
    moved: NumpyArray = ndimage.shift(image, [*still, *offset], order=3, mode="nearest")
    return moved


def _rotation(image: NumpyArray, config: PerturbConfig, state: RandomState) -> NumpyArray:
    angle = state.uniform(-config.max_angle, config.max_angle)
    turned: NumpyArray = ndimage.rotate(image, angle, axes=(-2, -1), reshape=False, order=3, mode="nearest")
    return turned


def _dropout(image: NumpyArray, config: PerturbConfig, state: RandomState) -> NumpyArray:
    return image * state.binomial(1, 1 - config.dropout_share, image.shape)


Operate = Callable[[NumpyArray, PerturbConfig, RandomState], NumpyArray]
OPERATIONS: Mapping[str, Operate] = {
    "gauss": _gauss,
    "impulse": _impulse,
    "speckle": _speckle,
    "jitter": _jitter,
    "shift": _shift,
    "rotation": _rotation,
    "dropout": _dropout,
}
