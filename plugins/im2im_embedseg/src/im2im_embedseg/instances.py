"""The objects of a batch of label images as flat lists, so that everything per object is one indexed sum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Instances:
    """All objects of a batch; objects of one image stand together, by rising label.

    Attributes:
        count: number of objects K.
        pixel: (F,) foreground pixels as indices into the flattened batch, in raster order.
        owner: (F,) object of each of them, 0 to K - 1.
        sample: (K,) image of each object.
        size: (K,) pixels of each object, float32.
        of_pixel: (B * N,) object of every pixel, -1 for background.
    """

    count: int
    pixel: Tensor
    owner: Tensor
    sample: Tensor
    size: Tensor
    of_pixel: Tensor

    def per_sample(self, samples: int) -> Tensor:
        """(B,) number of objects per image, float32."""
        return torch.bincount(self.sample, minlength=samples).float()


def find_instances(labels: Tensor) -> Instances:
    """List the objects.

    Args:
        labels: (B, N) int64, 0 = background.
    """
    flat = labels.flatten()
    pixel = torch.nonzero(flat > 0)[:, 0]
    sample_of_pixel = torch.div(pixel, labels.shape[1], rounding_mode="floor")
    span = int(flat.max()) + 1 if len(flat) else 1
    ids, owner = torch.unique(sample_of_pixel * span + flat[pixel], return_inverse=True)
    of_pixel = torch.full_like(flat, -1)
    of_pixel[pixel] = owner
    size = torch.bincount(owner, minlength=len(ids)).float()
    return Instances(len(ids), pixel, owner, torch.div(ids, span, rounding_mode="floor"), size, of_pixel)


def segment_mean(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """(F, C) values to their mean per object, (K, C); differentiable."""
    sums = values.new_zeros(count, values.shape[1]).index_add(0, owner, values)
    size = torch.bincount(owner, minlength=count).to(values.dtype).clamp(min=1)
    return sums / size[:, None]
