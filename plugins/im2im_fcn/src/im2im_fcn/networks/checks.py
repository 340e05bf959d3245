"""What settings of networks must satisfy, told before torch loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from im2im_core import ConfigError

PerAxis = int | tuple[int, ...]


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"a kernel of {kernel} pixels has no middle; give an odd number")
    return kernel


OddKernel = Annotated[int, Field(ge=1), AfterValidator(_odd)]
Width = Annotated[int, Field(ge=1)]


def check_steps(channels: Sequence[int], strides: Sequence[object]) -> None:
    """Raises ValueError unless there is a stride from each level to the next."""
    if len(strides) != len(channels) - 1:
        raise ValueError(
            f"{len(channels)} levels of channels need {len(channels) - 1} strides, one between two levels, "
            f"and there are {len(strides)}"
        )


def check_divisible(name: str, value: int, divisor: int, reason: str) -> None:
    """Raises ValueError unless `divisor` divides `value`."""
    if value % divisor:
        raise ValueError(f"{name} must be a multiple of {divisor} ({reason}), and is {value}")


def per_axis(value: PerAxis, spatial_dims: int) -> tuple[int, ...]:
    """One number per axis, from one for all or from a list.

    Raises:
        ConfigError: the list has another number of axes.
    """
    axes = (value,) * spatial_dims if isinstance(value, int) else value
    if len(axes) != spatial_dims:
        raise ConfigError(
            f"the network setting '{list(axes)}' has {len(axes)} numbers and the images have {spatial_dims} axes",
            hint=f"Give {spatial_dims} numbers, in the order {'ZYX'[-spatial_dims:]}, or one for all axes.",
        )
    return axes
