"""From a prediction to labels. Imported by a factory only."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from skimage.draw import polygon

from im2im_core import DataError
from im2im_stars.config import StarNmsConfig
from im2im_stars.polygons import areas, corners, suppress

Array: TypeAlias = NDArray[Any]


class StarNms:
    """From a prediction (1 + rays, Y, X) to labels (Y, X), 0 = background."""

    def __init__(self, config: StarNmsConfig) -> None:
        self.config = config

    def __call__(self, prediction: Array) -> Array:
        """Labels of one image."""
        return self.objects(prediction)[0]

    def objects(self, prediction: Array) -> tuple[Array, Array]:
        """Labels of one image, int32, and the object probability of each.

        Args:
            prediction: (1 + rays, Y, X): logit of the object probability, distances in pixels.

        Raises:
            DataError: NaN or infinity in the prediction, or too few channels.
        """
        if prediction.ndim != 3 or len(prediction) < 4:
            raise DataError(f"star-nms needs a logit and distances (1 + rays, Y, X), not '{prediction.shape}'")
        if not np.isfinite(prediction).all():
            raise DataError(
                "NaN or infinity in the prediction", "train the model that made it with a lower learning rate"
            )
        score = expit(prediction[0].astype(np.float64))
        y, x = self._proposing(score)
        distance = np.maximum(prediction[1:, y, x].T, 0)
        solid = areas(distance) > 0
        y, x, distance = y[solid], x[solid], distance[solid]
        center = np.stack([y, x], axis=1).astype(np.float32)
        kept = suppress(center, distance, self.config.overlap)
        labels = draw(corners(center[kept], distance[kept]), prediction.shape[1:])
        return self._visible(labels, score[y, x][kept].astype(np.float32))

    def _proposing(self, score: Array) -> tuple[Array, Array]:
        """Rows and columns of the pixels whose polygons are considered, the most probable first."""
        side = self.config.spacing
        height, width = score.shape
        padded = np.pad(score, ((0, -height % side), (0, -width % side)), constant_values=-1)
        squares = padded.reshape(len(padded) // side, side, -1, side).swapaxes(1, 2)
        best = squares.reshape(*squares.shape[:2], side * side).argmax(-1)
        rows, columns = np.indices(best.shape)
        y, x = (rows * side + best // side).ravel(), (columns * side + best % side).ravel()
        chosen = score[y, x] > self.config.probability
        y, x = y[chosen], x[chosen]
        order = np.argsort(-score[y, x], kind="stable")
        return y[order], x[order]

    def _visible(self, labels: Array, scores: Array) -> tuple[Array, Array]:
        """Labels from 1 on without gaps: a polygon may be too small, or hidden by better ones."""
        sizes = np.bincount(labels.ravel(), minlength=len(scores) + 1)[1:]
        large = sizes >= self.config.min_object_size
        number = np.concatenate([[0], np.where(large, np.cumsum(large), 0)]).astype(np.int32)
        return number[labels], scores[large]


def draw(corner: Array, shape: tuple[int, ...]) -> Array:
    """Labels (Y, X), int32, of polygons with corners (N, rays, 2), numbered from 1; earlier ones lie on top."""
    labels = np.zeros(shape, np.int32)
    for number in range(len(corner), 0, -1):
        labels[polygon(*corner[number - 1].T, shape=shape)] = number
    return labels
