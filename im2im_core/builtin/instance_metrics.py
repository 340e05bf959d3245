"""Figures of merit for objects. Imported by factories only; loads scipy, never torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects

from im2im_core.builtin.metrics import aligned
from im2im_core.interfaces import NumpyArray
from im2im_core.object_matching import as_labels, object_overlaps


def average_precision(
    prediction: NumpyArray, target: NumpyArray, thresholds: Sequence[float] = (0.5,)
) -> dict[str, float]:
    """AP at IoU thresholds, and the other usual figures of instance segmentation, of one image.

    AP = TP / (TP + FP + FN): TP are the pairs of a largest one-to-one matching of predicted and target objects with an
    IoU of at least the threshold; FP and FN are the objects without a partner. This is the measure of the 2018 Data
    Science Bowl (Caicedo et al., Nature Methods 16, 2019) and of StarDist (Schmidt et al., MICCAI 2018), not the area
    under a precision-recall curve. Panoptic quality: Kirillov et al., CVPR 2019.

    Args:
        prediction: integer labels (Y, X) or (Z, Y, X), 0 = background; leading axes of length 1 are dropped.
        target: the same, of the same shape.
        thresholds: IoU thresholds that `mean_ap` averages over.

    Returns:
        `ap@0.50` (always) and `ap@...` for each threshold, `mean_ap`; `precision`, `recall` and `f1` at 0.50;
        `panoptic_quality` and its factors `segmentation_quality` (mean IoU of the matched pairs) and
        `recognition_quality` (F1) at 0.50; `objects` and `predicted_objects`, which are counts.
        Without any object in either image every score is 1; without objects in only one of them, 0.

    Raises:
        DataError: the shapes differ, or the values are not labels.
    """
    overlaps = object_overlaps(*aligned(np.asarray(prediction), np.asarray(target)))
    objects, predicted = len(overlaps.target_ids), len(overlaps.prediction_ids)
    matched = {t: len(overlaps.match(t)[2]) for t in thresholds}
    shared_iou = overlaps.match(0.5)[2]
    hits = len(shared_iou)
    scores = {"ap@0.50": _share(hits, objects + predicted - hits)}
    scores.update({f"ap@{t:.2f}": _share(number, objects + predicted - number) for t, number in matched.items()})
    scores["mean_ap"] = float(np.mean([scores[f"ap@{t:.2f}"] for t in thresholds]))
    empty = objects == predicted == 0
    f1 = _share(2 * hits, objects + predicted)
    quality = float(shared_iou.mean()) if hits else float(empty)
    scores |= {
        "precision@0.50": _share(hits, predicted, float(empty)),
        "recall@0.50": _share(hits, objects, float(empty)),
        "f1@0.50": f1,
        "panoptic_quality": quality * f1,
        "segmentation_quality": quality,
        "recognition_quality": f1,
    }
    return scores | {"objects": float(objects), "predicted_objects": float(predicted)}


def instance_iou(
    prediction: NumpyArray, target: NumpyArray, *, border: int = 5, inside: float = 0.25, count_missed: bool = True
) -> dict[str, float]:
    """How well each target object is covered, where one may be predicted in several pieces; for errors of splitting.

    The predicted objects of which more than `inside` lies in a target object are united, and compared with it. Objects
    that reach into the band along the sides of Y and X are left out. Predicted objects elsewhere do not count: look at
    `average_precision` too.

    Args:
        prediction: integer labels (Y, X) or (Z, Y, X), 0 = background; leading axes of length 1 are dropped.
        target: the same, of the same shape.
        border: width of the band in pixels.
        inside: least share of a predicted object's own size.
        count_missed: an object without any piece counts as 0. The reference leaves it out, so that a prediction of
            nothing but one object would be perfect.

    Returns:
        `instance_iou`, the mean over the objects; NaN where there is none.

    Raises:
        DataError: the shapes differ, or the values are not labels.
    """
    pair = zip(aligned(np.asarray(prediction), np.asarray(target)), ("prediction", "target"), strict=True)
    prediction, target = (_consecutive(as_labels(array, what)) for array, what in pair)
    inner = target[..., border : target.shape[-2] - border, border : target.shape[-1] - border]
    outer = np.bincount(target.ravel()) != np.bincount(inner.ravel(), minlength=int(target.max(initial=0)) + 1)
    sizes = np.bincount(prediction.ravel())
    scores = []
    for label, place in enumerate(find_objects(target), 1):
        if place is None or outer[label]:
            continue
        members = target[place] == label
        found, shared = np.unique(prediction[place][members], return_counts=True)
        piece = (found > 0) & (shared > inside * sizes[found])
        union = members.sum() + sizes[found[piece]].sum() - shared[piece].sum()
        if piece.any() or count_missed:
            scores.append(float(shared[piece].sum() / union))
    return {"instance_iou": float(np.mean(scores)) if scores else float("nan")}


def _consecutive(labels: NumpyArray) -> NumpyArray:
    """The same objects numbered from 1, so that tables by label are no longer than there are objects."""
    _, numbers = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    return numbers[:-1].reshape(labels.shape)


def _share(part: int, whole: int, of_nothing: float = 1.0) -> float:
    return part / whole if whole else of_nothing
