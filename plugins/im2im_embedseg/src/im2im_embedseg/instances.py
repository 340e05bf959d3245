"""The objects of a batch of label images as flat lists, so that everything per object is one indexed sum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Up to so many possible (image, label) combinations a table of them is made; beyond, they are sorted.
_TABLE = 1 << 22

BACKGROUND, IGNORED = -1, -2


@dataclass(frozen=True, slots=True)
class Instances:
    """All objects of a batch of B images with N pixels; those of one image stand together, by rising label.

    Attributes:
        count: number of objects K.
        pixel: (F,) int64, foreground pixels as indices into the flattened batch, by object, in raster order in each.
        owner: (F,) int64, object of each of them, 0 to K - 1, rising.
        sample: (K,) int64, image of each object.
        size: (K,) int64, pixels of each object, at least 1.
        of_pixel: (B * N,) int64, object of every pixel; BACKGROUND, or IGNORED for a pixel that does not count.
    """

    count: int
    pixel: Tensor
    owner: Tensor
    sample: Tensor
    size: Tensor
    of_pixel: Tensor

    def per_sample(self, samples: int) -> Tensor:
        """(B,) float32, number of objects in each image."""
        return torch.bincount(self.sample, minlength=samples).float()

    def mean(self, values: Tensor) -> Tensor:
        """Mean over each object's pixels, (K,), of values (F,) float32 in the order of `pixel`; differentiable."""
        # Relative to one of the values: a float32 sum of hundreds of coordinates loses the digits that decide which of
        # two nearly equal errors comes first.
        first = self.size.cumsum(0) - self.size
        reference = values.detach().index_select(0, first)
        relative = values - reference.index_select(0, self.owner)
        return reference + torch.zeros_like(reference).index_add(0, self.owner, relative) / self.size


def find_instances(labels: Tensor, counts: Tensor | None = None) -> Instances:
    """List the objects.

    Args:
        labels: (B, N), any number type, 0 = background.
        counts: (B, N) bool, pixels that count; all when None.
    """
    flat = labels.reshape(-1).long()
    mask = flat != 0
    of_pixel = torch.full_like(flat, BACKGROUND)
    if counts is not None:
        mask &= counts.reshape(-1)
        of_pixel[~counts.reshape(-1)] = IGNORED
    pixel = mask.nonzero()[:, 0]
    label = flat.index_select(0, pixel)
    if len(pixel):
        label = label - label.min()
    span = int(label.max()) + 1 if len(pixel) else 1
    code = label + span * torch.div(pixel, max(labels.shape[1], 1), rounding_mode="floor")
    if span * len(labels) <= _TABLE:
        present = torch.bincount(code, minlength=span * len(labels)) > 0
        ids = present.nonzero()[:, 0]
        owner = (present.cumsum(0) - 1).index_select(0, code)
    else:
        ids, owner = torch.unique(code, return_inverse=True)
    of_pixel[pixel] = owner
    # 32 bits sort twice as fast as 64.
    by_owner = torch.argsort(owner.int(), stable=True)
    pixel, owner = pixel.index_select(0, by_owner), owner.index_select(0, by_owner)
    size = torch.bincount(owner, minlength=len(ids))
    return Instances(len(ids), pixel, owner, torch.div(ids, span, rounding_mode="floor"), size, of_pixel)
