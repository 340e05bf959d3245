"""Coordinate maps of the embedding space, and what the channels of a prediction mean.

Neven et al. 2019 (CVPR), Lalit et al. 2022 (Medical Image Analysis 81:102523).

Arguments that describe axes come in the order of the array, ([Z], Y, X); channels come in the order x, y[, z].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Embedding(NamedTuple):
    """A prediction taken apart; every tensor keeps the axes that followed the channel axis.

    Attributes:
        offset: D channels x, y[, z] in coordinate units, after tanh, so within (-1, 1).
        sigma: n_sigma channels; the bandwidth of an axis is exp(10 sigma), in 1 / coordinate unit^2.
        seed: one channel, after the sigmoid, so within (0, 1).
    """

    offset: Tensor
    sigma: Tensor
    seed: Tensor


def check_geometry(spatial_dims: int, n_sigma: int, grid: Sequence[int], pixel: Sequence[float]) -> None:
    """Refuse settings that do not describe one coordinate system.

    Args:
        spatial_dims: 2 or 3.
        n_sigma: bandwidths per pixel, 1 (shared by all axes) or one per axis.
        grid: pixels over which a coordinate axis extends, ([Z], Y, X), each at least 2.
        pixel: length of that extent in coordinate units, ([Z], Y, X), each above 0.

    Raises:
        ValueError: what is wrong, in words.
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, not {spatial_dims}")
    if n_sigma not in (1, spatial_dims):
        raise ValueError(f"n_sigma must be 1 or {spatial_dims}, not {n_sigma}")
    if len(grid) != spatial_dims or len(pixel) != spatial_dims:
        raise ValueError(f"grid and pixel need {spatial_dims} numbers each, not {len(grid)} and {len(pixel)}")
    if any(count < 2 for count in grid) or any(not extent > 0 for extent in pixel):
        raise ValueError(f"an axis needs at least 2 pixels and a positive extent, not {tuple(grid)}, {tuple(pixel)}")


def spacing(grid: Sequence[int], pixel: Sequence[float]) -> tuple[float, ...]:
    """Distance of neighbouring pixels in coordinate units, in the order of `grid` and `pixel`."""
    return tuple(extent / (count - 1) for count, extent in zip(grid, pixel, strict=True))


def axis_coordinates(length: int, step: float, device: torch.device | None = None) -> Tensor:
    """Coordinates of the pixels 0 ... length-1 of one axis: float32, shape (length,).

    An image may be longer than the grid: the sequence just goes on.
    """
    # Rounded once, from double precision on the CPU: a running float32 product is off by more, and MPS has no float64.
    return (torch.arange(length, dtype=torch.float64) * step).float().to(device)


def coordinate_map(shape: Sequence[int], steps: Sequence[float], device: torch.device | None = None) -> Tensor:
    """Coordinates of every pixel.

    Args:
        shape: of the image, ([Z], Y, X).
        steps: what `spacing` gives, ([Z], Y, X).
        device: where the result lives.

    Returns:
        float32 (D, [Z], Y, X), channels x, y[, z].
    """
    axes = [axis_coordinates(length, step, device) for length, step in zip(shape, steps, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1])


def split_prediction(prediction: Tensor, spatial_dims: int, n_sigma: int, channel_axis: int = 0) -> Embedding:
    """Take the raw network output apart and apply tanh and sigmoid, in float32.

    Args:
        prediction: (..., D + n_sigma + 1, ...): offsets before tanh, sigmas, seed before the sigmoid.
        spatial_dims: D.
        n_sigma: 1 or D.
        channel_axis: position of the channel axis, which stays (with D, n_sigma and 1 entries).

    Raises:
        ValueError: the number of channels is another one.
    """
    wanted = spatial_dims + n_sigma + 1
    if prediction.shape[channel_axis] != wanted:
        raise ValueError(f"the prediction has {prediction.shape[channel_axis]} channels, expected {wanted}")
    parts = (spatial_dims, n_sigma, 1)
    offset, sigma, seed = torch.split_with_sizes(prediction.float(), parts, dim=channel_axis)
    return Embedding(torch.tanh(offset), sigma, torch.sigmoid(seed))
