"""What the dimensions of an array mean when its file does not say, and in which order im2im gets them. Numpy only."""

from __future__ import annotations

from typing import Any

from im2im_core.errors import DataError
from im2im_core.image import AXES

UNKNOWN = "QI"
MOST_CHANNELS = 4
HINT = 'state them with the setting axes of the reader, for instance axes="ZYX"'


def name_axes(stored: str, shape: tuple[int, ...], file: str, wanted: str | None = None) -> str:
    """Axes of im2im for the dimensions of a file.

    The rule for dimensions of unknown meaning ('Q' and 'I' in tifffile's notation):

    1. RGB samples ('S') are the channels.
    2. A last dimension of at most 4 behind two longer ones: they are Y, X and the channels.
    3. The last unknown dimension of at most 4: the channels, unless there are some already.
    4. Of what is left, the last is Z and the one before it T.

    Args:
        stored: one letter per dimension, as the file has it.
        shape: the lengths.
        file: its name, for messages.
        wanted: the axes that the user stated, which settle everything.

    Raises:
        DataError: the file has dimensions that im2im has no name for, or the stated axes are too few or too many.
    """
    if wanted is not None:
        if len(wanted) == len(shape):
            return wanted
        raise DataError(
            f"axes '{wanted}' do not fit '{file}' of shape {tuple(shape)}", "state one letter per dimension"
        )
    letters = ["C" if letter == "S" and "C" not in stored else letter for letter in stored]
    free = [index for index, letter in enumerate(letters) if letter in UNKNOWN]
    last = len(letters) - 3
    if "C" not in letters and last in free and shape[-1] <= MOST_CHANNELS < min(shape[-3:-1]):
        letters[-3:] = "YXC"
        free.remove(last)
    for index in reversed(free):
        if "C" not in letters and shape[index] <= MOST_CHANNELS:
            letters[index] = "C"
    for index in reversed([index for index in free if letters[index] in UNKNOWN]):
        letters[index] = next((letter for letter in "ZTC" if letter not in letters), "?")
    axes = "".join(letters)
    if set(axes) - set(AXES) or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        raise DataError(f"'{file}': dimensions '{stored}' of lengths {tuple(shape)} are not understood", HINT)
    return axes


def channels_before_plane(data: Any, axes: str) -> tuple[Any, str]:
    """Interleaved channels ('YXC') as planes ('CYX'); other orders stay as they are.

    Args:
        data: an array with `transpose`, lazy or not.
        axes: its axes.
    """
    plane = [axes.index(letter) for letter in "YX" if letter in axes]
    if "C" not in axes or not plane or axes.index("C") < max(plane):
        return data, axes
    rest = axes.replace("C", "")
    first = min(rest.index(letter) for letter in "YX" if letter in rest)
    wanted = rest[:first] + "C" + rest[first:]
    return data.transpose([axes.index(letter) for letter in wanted]), wanted
