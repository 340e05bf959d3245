"""What a segmentation loss is given, in one form, and means that leave out pixels without cost."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from im2im_core import ConfigError, DataError

# Probability 1 to float32's last digit: what the target says of a pixel that takes no part.
_CERTAIN = 30.0


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over all pixels, each counting by its cost map; 0 with a gradient of 0 where nothing counts."""
    if weights is None:
        return values.mean()
    weights = weights.to(values.dtype).expand_as(values)
    # Not 0 * value: a pixel that does not count may hold anything, also infinity.
    counted = torch.where(weights > 0, values * weights, torch.zeros_like(values))
    return counted.sum() / weights.sum().clamp(min=torch.finfo(values.dtype).tiny)


def full_precision(prediction: Tensor) -> Tensor:
    """Sums over images and NumPy need float32 at least."""
    return prediction if prediction.dtype == torch.float64 else prediction.float()


def same_shape(prediction: Tensor, target: Tensor) -> None:
    """Refuse to broadcast, which would train on nonsense.

    Raises:
        DataError: prediction and target differ in shape.
    """
    if prediction.shape != target.shape:
        raise DataError(
            f"the prediction has shape '{tuple(prediction.shape)}', the target '{tuple(target.shape)}'",
            "the model's outputs and the channels of the target must agree; check model and loss",
        )


def independent(prediction: Tensor, target: Tensor) -> bool:
    """Each channel is a question of its own: one output only, or a target mask for each."""
    return prediction.shape[1] == 1 or target.shape[1] == prediction.shape[1]


def class_numbers(prediction: Tensor, target: Tensor) -> Tensor:
    """Class of every pixel (B, [Z,] Y, X); of a mask per class the class that is set.

    Raises:
        DataError: the shapes do not fit, or the target holds a class that the model has no output for.
    """
    if target.shape[2:] != prediction.shape[2:] or target.shape[1] not in (1, prediction.shape[1]):
        same_shape(prediction, target)
    if prediction.shape[1] == 1:
        return (target[:, 0] > 0).long()
    classes = target[:, 0].long() if target.shape[1] == 1 else target.argmax(1)
    if classes.numel() and (int(classes.min()) < 0 or int(classes.max()) >= prediction.shape[1]):
        raise DataError(
            f"the target holds class '{int(classes.max())}' (least '{int(classes.min())}'), the model has "
            f"{prediction.shape[1]} outputs for classes 0 to {prediction.shape[1] - 1}",
            "give the model an output for every class, or number the classes from 0",
        )
    return classes


def one_hot(classes: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """(B, [Z,] Y, X) class numbers to (B, count, [Z,] Y, X) masks."""
    return F.one_hot(classes, count).movedim(-1, 1).to(dtype)


def masks_of(prediction: Tensor, target: Tensor) -> Tensor:
    """Target as one mask per output, of the prediction's shape and type."""
    if independent(prediction, target):
        same_shape(prediction, target)
        return (target > 0).to(prediction.dtype)
    return one_hot(class_numbers(prediction, target), prediction.shape[1], prediction.dtype)


def probabilities_of(prediction: Tensor, target: Tensor) -> Tensor:
    """Sigmoid of each output where channels are independent, else softmax over classes."""
    return prediction.sigmoid() if independent(prediction, target) else prediction.softmax(1)


def as_classes(
    prediction: Tensor, target: Tensor, costmap: Tensor | None = None, scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Logits of two or more classes (B, K, [Z,] Y, X) and class numbers (B, [Z,] Y, X), for the regularizers.

    A single logit z becomes the two (0, z). Of a mask per class the class that is set counts, and the first is the
    background. Where the cost map is 0 the prediction is taken to be the target, so it
    has no gradient there and costs nothing. With a scale other than 1 logits are then interpolated linearly, classes
    by the nearest pixel.
    """
    classes = class_numbers(prediction, target)
    logits = full_precision(prediction)
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    if costmap is not None:
        counts = (costmap > 0).all(1, keepdim=True)
        logits = torch.where(counts, logits, _CERTAIN * one_hot(classes, logits.shape[1], logits.dtype))
    if scale != 1:
        mode = "bilinear" if logits.dim() == 4 else "trilinear"
        logits = F.interpolate(logits, scale_factor=scale, mode=mode, align_corners=False)
        numbers = classes[:, None].to(logits.dtype)
        classes = F.interpolate(numbers, size=logits.shape[2:], mode="nearest")[:, 0].long()
    return logits, classes


def check_class_weights(weights: Sequence[float] | None, outputs: int) -> None:
    """One weight per class, where a single output stands for two classes.

    Raises:
        ConfigError: the number of weights is another.
    """
    classes = max(outputs, 2)
    if weights is not None and len(weights) != classes:
        raise ConfigError(
            f"loss.class_weights: '{len(weights)}' weights for {classes} classes",
            "give one per class, background first",
        )
