"""Which predicted object is which target object: one contingency table, then one-to-one pairs. Loads scipy on use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2im_core.errors import DataError
from im2im_core.interfaces import NumpyArray


@dataclass(frozen=True, slots=True, eq=False)
class ObjectOverlaps:
    """All pairs of one target object and one predicted object that share at least one pixel.

    Attributes:
        target_ids: labels of the target objects, ascending.
        prediction_ids: labels of the predicted objects, ascending.
        target_index: for each pair, the position of its target object in `target_ids`.
        prediction_index: for each pair, the position of its predicted object in `prediction_ids`.
        iou: for each pair, pixels in both over pixels in either.
    """

    target_ids: NumpyArray
    prediction_ids: NumpyArray
    target_index: NumpyArray
    prediction_index: NumpyArray
    iou: NumpyArray

    def match(self, threshold: float) -> tuple[NumpyArray, NumpyArray, NumpyArray]:
        """As many one-to-one pairs as possible among those with an IoU of at least `threshold`.

        Above 0.5 an object has at most one partner, so there is only one answer; at 0.5 and below the largest
        set of pairs is found (Hopcroft-Karp).

        Args:
            threshold: in (0, 1].

        Returns:
            For each matched pair: position in `target_ids`, position in `prediction_ids`, IoU.
        """
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import maximum_bipartite_matching

        kept = self.iou >= threshold
        if not kept.any():
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing, np.zeros(0)
        shape = (len(self.target_ids), len(self.prediction_ids))
        where = (self.target_index[kept], self.prediction_index[kept])
        graph = csr_matrix((self.iou[kept], where), shape=shape)
        partner = maximum_bipartite_matching(graph, perm_type="column")
        targets = np.flatnonzero(partner >= 0)
        predictions = partner[targets].astype(np.int64)
        return targets, predictions, np.asarray(graph[targets, predictions]).ravel()


def object_overlaps(prediction: NumpyArray, target: NumpyArray) -> ObjectOverlaps:
    """Compare two label images of the same shape. Time grows with pixels, not with pixels times objects.

    Args:
        prediction: integer labels, any number of dimensions, 0 = background.
        target: the same.

    Raises:
        DataError: the shapes differ, or the values are not labels.
    """
    from scipy.sparse import coo_matrix

    if prediction.shape != target.shape:
        raise DataError(f"the prediction has shape '{prediction.shape}' and the target '{target.shape}'")
    prediction_ids, prediction_position, prediction_area = _numbered(as_labels(prediction, "prediction"))
    target_ids, target_position, target_area = _numbered(as_labels(target, "target"))
    both = (prediction_position >= 0) & (target_position >= 0)
    pairs = (target_position[both], prediction_position[both])
    ones = np.ones(len(pairs[0]), dtype=np.int64)
    shared = coo_matrix((ones, pairs), shape=(len(target_ids), len(prediction_ids)))
    shared = shared.tocsr().tocoo()  # adds up the pixels of each pair
    union = target_area[shared.row] + prediction_area[shared.col] - shared.data
    return ObjectOverlaps(target_ids, prediction_ids, shared.row, shared.col, shared.data / union)


def as_labels(array: NumpyArray, what: str) -> NumpyArray:
    """The array as int64 labels.

    Args:
        array: integers or booleans, or floating-point numbers that are all whole.
        what: how to name it in an error.

    Raises:
        DataError: the values are negative, or not whole numbers.
    """
    labels: NumpyArray = np.asarray(array)
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.trunc(labels)).all()):
        raise DataError(
            f"the {what} is not a label image: it has values such as '{_odd_value(labels)}'",
            "use a post-processor that makes objects, or choose image metrics",
        )
    if labels.dtype.kind not in "biuf":
        raise DataError(f"the {what} is not a label image: its type is '{labels.dtype}'")
    labels = labels.astype(np.int64)
    if labels.size and labels.min() < 0:
        raise DataError(f"the {what} has the negative label '{labels.min()}'", "label objects from 1 up, background 0")
    return labels


def _odd_value(values: NumpyArray) -> float:
    with np.errstate(invalid="ignore"):
        return float(values[~np.isfinite(values) | (values != np.trunc(values))][0])


def _numbered(labels: NumpyArray) -> tuple[NumpyArray, NumpyArray, NumpyArray]:
    """Labels present, each pixel's position among them (-1 for background), and their areas in pixels."""
    flat = labels.ravel()
    highest = int(flat.max()) if flat.size else 0
    if highest <= 4 * flat.size + 65536:  # counting is linear; sorting is kept for a few huge labels
        area = np.bincount(flat, minlength=1)
        area[0] = 0
        ids = np.flatnonzero(area)
        position = np.full(len(area), -1, dtype=np.int64)
        position[ids] = np.arange(len(ids))
        return ids, position[flat], area[ids]
    ids, inverse, area = np.unique(flat, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    if ids[0] == 0:
        return ids[1:], inverse - 1, area[1:]
    return ids, inverse, area
