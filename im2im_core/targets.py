"""What a loss is given, in one form, and means in which pixels count by their cost map. Loads torch.

Shapes are (B, K, [Z,] Y, X) for the prediction and (B, C, [Z,] Y, X) for target and cost map (C = 1, or as the target).
Predictions of segmentation losses are logits. With K = 1 every target above 0 is foreground; with K > 1 a target of one
channel holds class numbers, and one of K channels a mask for each class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core.errors import DataError


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


class TargetScale(nn.Module):
    """Between the target's own units and those of the network, in which intensities lie between about 0 and 1.

    Args:
        ranges: of each channel what becomes 0 and 1; None: nothing is changed.
        spatial_dims: 2 or 3.
    """

    low: Tensor
    width: Tensor

    def __init__(self, ranges: tuple[tuple[float, float], ...] | None, spatial_dims: int) -> None:
        super().__init__()
        low = torch.tensor([r[0] for r in ranges or ((0.0, 1.0),)])
        width = torch.tensor([r[1] - r[0] for r in ranges or ((0.0, 1.0),)])
        shape = (1, -1, *[1] * spatial_dims)
        # They stand in the configuration, so the weights need not hold them.
        self.register_buffer("low", low.view(shape), persistent=False)
        self.register_buffer("width", width.view(shape), persistent=False)

    def to_network(self, target: Tensor) -> Tensor:
        """What the network is to predict."""
        scaled: Tensor = (target.float() - self.low) / self.width
        return scaled

    def to_target(self, prediction: Tensor) -> Tensor:
        """In the units of the target files."""
        scaled: Tensor = prediction.float() * self.width + self.low
        return scaled
