"""Which part of a file is meant: channels, and time points. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from im2im_core.errors import DataError
from im2im_core.image import Image


@dataclass(frozen=True, slots=True)
class Part:
    """What of each file is meant.

    Attributes:
        scene: for the reader: number from 0 or name; None: as the reader is set.
        time: time point from 0; None: all.
        channels: names or numbers from 0; empty: all.
    """

    scene: int | str | None = None
    time: int | None = None
    channels: tuple[str, ...] = ()

    def of(self, image: Image) -> Image:
        """The channels and the time point of an opened scene.

        Raises:
            DataError: one of them does not exist.
        """
        image = select_channels(image, self.channels)
        return image if self.time is None else select_time(image, self.time)


def select_channels(image: Image, wanted: Sequence[str]) -> Image:
    """Some channels in the given order, still lazy.

    Args:
        image: with or without an axis of channels.
        wanted: names (of any case) or numbers from 0; empty: all.

    Raises:
        DataError: there is no such channel.
    """
    if not wanted:
        return image
    count = image.sizes.get("C", 1)
    numbers = [_number(channel, image.channel_names, count) for channel in wanted]
    if "C" not in image.axes:
        return image
    place = image.axes.index("C")
    data: Any = image.data
    if numbers != list(range(count)):
        # A slice where one will do: not every lazy array takes a list of numbers.
        one = slice(numbers[0], numbers[0] + 1) if len(numbers) == 1 else numbers
        data = data[(*(slice(None),) * place, one)]
    names = tuple(image.channel_names[number] for number in numbers) if image.channel_names else ()
    return replace(image, data=data, channel_names=names)


def as_trained(image: Image, channels: Sequence[str | int], count: int) -> Image:
    """Of an image with more channels than a model takes, those that it was trained on.

    Args:
        image: with or without an axis of channels.
        channels: the data set's setting; empty: all.
        count: channels that the model takes.

    Raises:
        DataError: there is no such channel.
    """
    if image.sizes.get("C", 1) <= count:
        return image
    return select_channels(image, [str(channel) for channel in channels])


def select_time(image: Image, time: int) -> Image:
    """One time point, without a time axis.

    Args:
        image: lazy.
        time: from 0.

    Raises:
        DataError: there is no such time point.
    """
    count = image.sizes.get("T", 1)
    if not 0 <= time < count:
        raise DataError(f"there is no time point '{time}'", f"time points are 0 to {count - 1}")
    if "T" not in image.axes:
        return image
    data = image.data[(slice(None),) * image.axes.index("T") + (time,)]
    return replace(image, data=data, axes=image.axes.replace("T", ""))


def time_points(image: Image) -> Iterator[Image]:
    """All time points, one after the other; an image without a time axis is its only one."""
    for time in range(image.sizes.get("T", 1)):
        yield select_time(image, time)


def _number(channel: str, names: Sequence[str], count: int) -> int:
    for matches in ([name == channel for name in names], [name.lower() == channel.lower() for name in names]):
        if any(matches):
            return matches.index(True)
    if channel.isdecimal() and int(channel) < count:
        return int(channel)
    listed = ", ".join(f"{number} '{name}'" for number, name in enumerate(names)) or f"0 to {count - 1}"
    raise DataError(f"there is no channel '{channel}'", f"channels are {listed}")
