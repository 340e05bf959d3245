"""Figures of merit for class maps and masks. Imported by factories only; numpy only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from im2im_core.builtin.metrics import aligned, check_finite
from im2im_core.interfaces import NumpyArray


def dice(
    prediction: NumpyArray,
    target: NumpyArray,
    *,
    include_background: bool = False,
    foreground: bool = False,
    threshold: float = 0.5,
    ignore_index: int | None = None,
) -> dict[str, float]:
    """Dice coefficient 2 |A and B| / (|A| + |B|) per class, and its mean over the classes that occur.

    Args:
        prediction: class map or mask; a mask of 0 and 255 is read as 0 and 1.
        target: the same, of the same shape; leading axes of length 1 apart.
        include_background: let class 0 count in the mean.
        foreground: compare all that is not 0 as one class.
        threshold: cut for floating-point masks that are no class map.
        ignore_index: pixels where the target has this number are left out.

    Returns:
        `dice` and, where several classes occur, `dice_class_1` and so on. Classes that neither image has are left
        out; when nothing is left, both images are empty and `dice` is 1.

    Raises:
        DataError: the shapes differ, or a value is not finite.
    """
    prediction, target = _counted(prediction, target, ignore_index)
    counts = _class_counts(prediction, target, foreground, threshold, include_background)
    return _mean_over_classes("dice", {c: 2 * both / (one + other) for c, both, one, other in counts})


def iou(
    prediction: NumpyArray,
    target: NumpyArray,
    *,
    include_background: bool = False,
    foreground: bool = False,
    threshold: float = 0.5,
    ignore_index: int | None = None,
) -> dict[str, float]:
    """Intersection over union |A and B| / |A or B| (Jaccard index) per class, and its mean over classes that occur.

    Arguments, conventions and errors are those of `dice`; the figures are `iou`, `iou_class_1`, and so on.
    """
    prediction, target = _counted(prediction, target, ignore_index)
    counts = _class_counts(prediction, target, foreground, threshold, include_background)
    return _mean_over_classes("iou", {c: both / (one + other - both) for c, both, one, other in counts})


def _mean_over_classes(name: str, values: dict[int, float]) -> dict[str, float]:
    figures = {name: float(np.mean(list(values.values()))) if values else 1.0}
    if len(values) > 1:
        figures.update({f"{name}_class_{number}": float(value) for number, value in values.items()})
    return figures


def _counted(prediction: NumpyArray, target: NumpyArray, ignore_index: int | None) -> tuple[NumpyArray, NumpyArray]:
    """Both images, or of both the pixels (N,) that are not ignored."""
    prediction, target = aligned(np.asarray(prediction), np.asarray(target))
    if ignore_index is None:
        return prediction, target
    kept = target != ignore_index
    return prediction[kept], target[kept]


def _class_counts(
    prediction: NumpyArray, target: NumpyArray, foreground: bool, threshold: float, include_background: bool
) -> Iterator[tuple[int, int, int, int]]:
    """Class, pixels of it in both images, in the prediction, in the target."""
    first = _classes(prediction, "prediction", foreground, threshold)
    second = _classes(target, "target", foreground, threshold)
    numbers = np.union1d(first, second)
    first, second = np.searchsorted(numbers, first), np.searchsorted(numbers, second)
    in_first, in_second = (np.bincount(array.ravel(), minlength=len(numbers)) for array in (first, second))
    in_both = np.bincount(first[first == second], minlength=len(numbers))
    for index, number in enumerate(numbers.tolist()):
        if number != 0 or include_background:
            yield number, int(in_both[index]), int(in_first[index]), int(in_second[index])


def _classes(array: NumpyArray, what: str, foreground: bool, threshold: float) -> NumpyArray:
    """A class map as int64."""
    if array.dtype.kind == "f":
        check_finite(array, what)
        if (array != np.trunc(array)).any():
            array = array > threshold
    classes: NumpyArray = array.astype(np.int64)
    return (classes != 0).astype(np.int64) if foreground or _is_mask_255(classes) else classes


def _is_mask_255(classes: NumpyArray) -> bool:
    """Masks are often stored as 0 and 255; that is class 1, not class 255."""
    return bool(classes.size and classes.max() == 255 and ((classes == 0) | (classes == 255)).all())
