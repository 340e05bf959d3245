"""From patch size and spacing to the levels of a U-Net. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Axes = tuple[int, ...]

_FIRST_FILTERS = 32
# Memory in GB from which on the widest level may have so many filters: {dims: filters}; the last is for any memory.
_FILTER_CAPS = ((38.0, {2: 1024, 3: 512}), (22.0, {2: 768, 3: 416}), (0.0, {2: 512, 3: 320}))


class Topology(NamedTuple):
    """Levels of a U-Net, finest first; sizes per axis in the order [Z,] Y, X.

    Attributes:
        strides: how many times every level is coarser than the one above; the first is 1.
        kernels: sizes of the convolutions.
        filters: channels.
        upsample: kernels of the transposed convolutions: `strides` without the first.
    """

    strides: tuple[Axes, ...]
    kernels: tuple[Axes, ...]
    filters: tuple[int, ...]
    upsample: tuple[Axes, ...]


def plan_topology(
    patch_size: Sequence[int],
    spacing: Sequence[float],
    memory_gb: float,
    min_size: int = 8,
    *,
    published_kernels: bool = True,
) -> Topology:
    """Plans the levels of a U-Net (simplified from nnU-Net; Isensee et al. 2021, Nature Methods).

    An axis is halved while it has more than `min_size` pixels and its spacing is at most twice the smallest one, so
    that pixels become isotropic first. The plan has one level when no axis can be halved, and needs no special case.

    As published, an axis has kernel 1 until its spacing first comes within twice the smallest one. The reference
    values that this function is tested with have kernel 3 everywhere (`published_kernels=False`), a likely error.

    Args:
        patch_size: pixels per axis, [Z,] Y, X.
        spacing: size of a pixel per axis, in any one unit.
        memory_gb: memory of the accelerator in GB, which caps the filters.
        min_size: an axis of at most so many pixels is not halved.
        published_kernels: kernel 1 on axes that are much coarser than the others, as nnU-Net has it; else 3.

    Raises:
        ValueError: the lengths differ or are not 2 or 3, or a number is not positive.
    """
    _check(patch_size, spacing, memory_gb, min_size)
    size, pixel = list(patch_size), [float(value) for value in spacing]
    step: Axes = (1,) * len(size)
    isotropic = [not published_kernels] * len(size)
    strides, kernels = [], []
    while True:
        near = [value <= 2 * min(pixel) for value in pixel]
        # An axis that got its neighbours keeps them: the others may grow coarser once it is too short to be halved.
        isotropic = [had or has for had, has in zip(isotropic, near, strict=True)]
        strides.append(step)
        kernels.append(tuple(3 if has else 1 for has in isotropic))
        step = tuple(2 if n > min_size and close else 1 for n, close in zip(size, near, strict=True))
        if max(step) == 1:
            break
        size = [n // s for n, s in zip(size, step, strict=True)]
        pixel = [value * s for value, s in zip(pixel, step, strict=True)]
    filters = tuple(plan_filters(len(strides), len(size), memory_gb))
    return Topology(tuple(strides), tuple(kernels), filters, tuple(strides[1:]))


def plan_filters(levels: int, spatial_dims: int, memory_gb: float = 0) -> list[int]:
    """Channels per level: 32, doubled at each level up to a cap that the memory in GB allows."""
    cap = next(caps[spatial_dims] for least, caps in _FILTER_CAPS if memory_gb >= least)
    return [min(_FIRST_FILTERS * 2**level, cap) for level in range(levels)]


def _check(patch_size: Sequence[int], spacing: Sequence[float], memory_gb: float, min_size: int) -> None:
    if len(patch_size) not in (2, 3) or len(patch_size) != len(spacing):
        raise ValueError(f"patch size {list(patch_size)} and spacing {list(spacing)} must both have 2 or 3 numbers")
    if min(*patch_size, *spacing, memory_gb, min_size) <= 0:
        raise ValueError(
            f"patch size {list(patch_size)}, spacing {list(spacing)}, memory {memory_gb} GB and least size {min_size} "
            "must be positive"
        )
