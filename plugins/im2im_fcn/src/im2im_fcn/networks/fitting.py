"""Makes a network accept images of any size, and return a prediction of the same size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai.inferers import sliding_window_inference
from torch import Tensor, nn
from torch.nn import functional as F


class FittedNetwork(nn.Module):
    """Pads an image to sizes that the network can halve as often as it does, and crops the prediction.

    The border is continued rather than set to zero, which would look like background with a sharp edge.

    Args:
        net: maps (B, C, [Z], Y, X) to (B, K, [Z], Y, X) when every size is a multiple of `multiple`.
        multiple: per axis, how many pixels of the image lie in one of the coarsest level.
    """

    def __init__(self, net: nn.Module, multiple: Sequence[int]) -> None:
        super().__init__()
        self.net = net
        self.multiple = tuple(multiple)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, [Z], Y, X) to (B, K, [Z], Y, X), of any size from one pixel."""
        size = image.shape[2:]
        predicted: Tensor = self.net(pad(image, self._fitting(size)))
        return crop(predicted, size)

    def _fitting(self, size: Sequence[int]) -> list[int]:
        coarse = [math.ceil(n / multiple) for n, multiple in zip(size, self.multiple, strict=True)]
        if max(coarse) == 1:
            # Normalization layers need more than one pixel per channel in training; one axis is enough, and cheapest.
            coarse[-1] = 2
        return [n * multiple for n, multiple in zip(coarse, self.multiple, strict=True)]


class WindowedNetwork(nn.Module):
    """Runs a network of fixed input size on images of any size.

    Smaller images are padded by continuing their border. Larger ones are predicted in overlapping windows, which are
    blended with Gaussian weights, in training as well; patches of the network's own size are the fastest.

    Args:
        net: maps (B, C, *window) to (B, K, *window).
        window: the only size that the network accepts, [Z,] Y, X.
        overlap: share of a window that the next one covers again.
        batch_size: windows that are predicted at once.
    """

    def __init__(self, net: nn.Module, window: Sequence[int], *, overlap: float, batch_size: int = 4) -> None:
        super().__init__()
        self.net = net
        self.window = tuple(window)
        self.overlap = overlap
        self.batch_size = batch_size

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, [Z], Y, X) to (B, K, [Z], Y, X), of any size from one pixel."""
        size = image.shape[2:]
        image = pad(image, [max(n, least) for n, least in zip(size, self.window, strict=True)])
        if image.shape[2:] == self.window:
            predicted: Tensor = self.net(image)
        else:
            predicted = sliding_window_inference(
                image, self.window, self.batch_size, self.net, overlap=self.overlap, mode="gaussian"
            )
        return crop(predicted, size)


def pad(image: Tensor, size: Sequence[int]) -> Tensor:
    """Continues the far borders of (B, C, [Z], Y, X) up to `size`."""
    missing = [wanted - n for wanted, n in zip(size, image.shape[2:], strict=True)]
    if not any(missing):
        return image
    return F.pad(image, [p for m in reversed(missing) for p in (0, m)], mode="replicate")


def crop(image: Tensor, size: Sequence[int]) -> Tensor:
    """The near corner of (B, C, [Z], Y, X) of this size."""
    return image[(slice(None), slice(None), *(slice(0, n) for n in size))]
