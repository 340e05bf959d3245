"""Lovasz hinge: Berman, Triki, Blaschko 2018, CVPR, "The Lovasz-Softmax loss".

For errors sorted in descending order, the weight of an error is the amount by which the Jaccard loss grows when that pixel
is added to the misclassified ones. Weights carry no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hinge_errors(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - logit * (+1 for foreground, -1 for background)."""
    return 1 - logits * (2 * labels.to(logits.dtype) - 1)


def segment_weights(segments: Tensor, errors: Tensor, labels: Tensor, count: int) -> Tensor:
    """Lovasz weights of many independent problems, with one sort.

    Args:
        segments: (M,) int64, which problem an entry belongs to, 0 to count - 1.
        errors: (M,) float32.
        labels: (M,) bool, foreground of its problem.
        count: number of problems.

    Returns:
        (M,) float32, not negative; the weights of a problem with foreground add up to 1.
    """
    order = torch.argsort(_descending_key(segments, errors))
    segment, positive = segments[order], labels[order].long()
    sizes = torch.bincount(segments, minlength=count)
    ends = torch.cumsum(sizes, 0)
    first = (ends - sizes)[segment]
    seen = torch.cumsum(positive, 0)
    before = torch.cat([seen.new_zeros(1), seen])
    positives = (before[ends] - before[ends - sizes])[segment]
    hits = seen - before[first]
    rank = torch.arange(1, len(segment) + 1, device=segment.device) - first
    union = positives + rank - hits
    jaccard = 1 - (positives - hits) / union
    # Increment over the entry before; the first of a problem starts from 0. In closed form, since the difference of two
    # numbers close to 1 has no digits left in float32.
    increment = torch.where(positive.bool(), 1 / union, (positives - hits) / (union * (union - 1)).clamp(min=1))
    increment = torch.where(rank == 1, jaccard, increment)
    weights = torch.empty_like(errors)
    weights[order] = increment.to(errors.dtype)
    return weights


def _descending_key(segments: Tensor, errors: Tensor) -> Tensor:
    """One integer per entry that sorts by segment, then by falling error.

    The bits of a float32 sort like integers once the sign is accounted for; no float64, which not every device has.
    """
    bits = errors.float().contiguous().view(torch.int32).long()
    ascending = torch.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))
    return (segments << 33) - ascending


def lovasz_hinge(logits: Tensor, labels: Tensor, *, per_image: bool = True, ignore: int | None = None) -> Tensor:
    """Binary Lovasz hinge loss.

    Args:
        logits: (B, ...) float.
        labels: (B, ...) 0, 1 or `ignore`.
        per_image: one value per entry of the first axis, then their mean; else all pixels as one problem.
        ignore: pixels with this label do not count.

    Returns:
        Scalar.
    """
    problems = len(logits) if per_image else 1
    segments = torch.arange(problems, device=logits.device).repeat_interleave(logits.numel() // problems)
    flat, truth = logits.reshape(-1), labels.reshape(-1)
    if ignore is not None:
        kept = truth != ignore
        flat, truth, segments = flat[kept], truth[kept], segments[kept]
    errors = hinge_errors(flat, truth)
    weights = segment_weights(segments, errors.detach(), truth > 0, problems)
    return (torch.relu(errors) * weights).sum() / problems
