"""The Lovasz hinge loss, one problem or very many at once.

Berman, Triki, Blaschko 2018 (CVPR), "The Lovasz-Softmax loss". Errors of a problem are sorted in descending order; the
weight of an error is the amount by which the Jaccard loss grows as that pixel joins the wrong ones. No gradient flows
through the weights.
"""

from __future__ import annotations

import torch
from torch import Tensor


def row_weights(errors: Tensor, labels: Tensor) -> Tensor:
    """Lovasz weights of independent problems, one per row, all sorted together.

    Rows of unequal length are filled up with background of error 0: behind the last foreground pixel no Jaccard loss is
    left, so such entries neither have nor change any weight.

    Args:
        errors: (R, L) float32, not negative.
        labels: (R, L) bool, foreground.

    Returns:
        (R, L) float32, not negative; each row adds up to 1. Equal errors keep the order that they have in their row.
    """
    order = _order(errors, labels.shape[1])
    positive = labels.reshape(-1).index_select(0, order).view_as(labels)
    hits = positive.cumsum(1, dtype=torch.int32)
    missed = hits[:, -1:] - hits
    # Of foreground and wrong background so far: rank, counted from 1, plus the foreground still to come.
    rank = torch.arange(1, labels.shape[1] + 1, dtype=torch.int32, device=errors.device)
    union = (missed + rank).float()
    # In closed form: the difference of two Jaccard values close to 1 has no digits left in float32.
    weight = torch.where(positive, 1 / union, missed / (union * (union - 1)))
    # A row without foreground: weight 1 for its first error. (A lone foreground pixel that comes first has 1, too.)
    weight[:, :1] = torch.where(union[:, :1] > 1, weight[:, :1], 1)
    return torch.empty_like(weight).view(-1).scatter_(0, order, weight.view(-1)).view_as(weight)


def _order(errors: Tensor, length: int) -> Tensor:
    """Indices into the flattened rows: by row, then by falling error; stable."""
    # Bits of a float that is not negative sort like an integer, and a CPU sorts 32-bit integers many times faster than
    # floats. Two stable sorts with short keys, minor key first, beat one with a 64-bit key.
    key = ~errors.contiguous().view(torch.int32).view(-1)
    by_error = torch.argsort(key, stable=True)
    if len(errors) == 1:
        return by_error
    dtype = torch.int16 if len(errors) < 2**15 else torch.int32
    rows = torch.arange(len(errors), dtype=dtype, device=errors.device).repeat_interleave(length)
    by_row = torch.argsort(rows.index_select(0, by_error), stable=True)
    return by_error.index_select(0, by_row)


def lovasz_hinge(logits: Tensor, labels: Tensor, *, per_image: bool = True, ignore: int | None = None) -> Tensor:
    """Binary Lovasz hinge loss.

    Args:
        logits: (B, ...) float; above 0 is foreground.
        labels: (B, ...) 0, 1 or `ignore`.
        per_image: one value for each entry of the first axis, then their mean; else all pixels are one problem.
        ignore: pixels with this label do not count.

    Returns:
        Scalar float32.

    Raises:
        ValueError: the shapes differ or there are no pixels.
    """
    if logits.shape != labels.shape or not logits.numel():
        raise ValueError(f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} must be alike and not empty")
    problems = len(logits) if per_image else 1
    flat, truth = logits.float().reshape(problems, -1), labels.reshape(problems, -1)
    positive = truth == 1
    errors = torch.relu(1 - torch.where(positive, flat, -flat))
    if ignore is not None:
        errors = torch.where(truth == ignore, 0, errors)
        positive = positive & (truth != ignore)
    return (errors * row_weights(errors.detach(), positive)).sum() / problems
