"""What a perfect prediction would be, from labels. Imported by the loss only.

Schmidt, Weigert, Broaddus, Myers: Cell Detection with Star-Convex Polygons. MICCAI 2018.
"""

from __future__ import annotations

from itertools import count

import torch
from torch import Tensor
from torch.nn import functional as F

from im2im_stars.polygons import directions

_OUTSIDE = -1  # no label, so that a ray that leaves the patch has left its object


def star_targets(labels: Tensor, rays: int) -> tuple[Tensor, Tensor]:
    """Object probability and distances to the border, on the device of the labels.

    A ray goes in steps of one pixel, to the nearest pixel centre. Its distance is half a step less than to the first
    pixel of another label, the border lying between the two. The border of the patch ends an object too: what lies
    beyond it, neither network nor loss can know. The probability is the distance to the nearest pixel that is not of
    the object, over the largest of its object; the paper takes the Euclidean distance transform, here it is the
    shortest of the rays.

    Args:
        labels: (B, 1, Y, X) integers or floats, 0 = background.
        rays: number of directions.

    Returns:
        Probability (B, 1, Y, X), 0 to 1, and distances (B, rays, Y, X) in pixels, float32, both 0 in the background.
    """
    padded = F.pad(labels[:, 0].round().long(), (1, 1, 1, 1), value=_OUTSIDE)
    row, flat = padded.shape[-1], padded.flatten()
    pixel = (flat > 0).nonzero()[:, 0]
    distance = torch.zeros(rays, len(flat), device=flat.device)
    for length, (y, x) in zip(distance, directions(rays), strict=True):
        start, label = pixel, flat[pixel]
        for step in count(1):
            length[start] = step - 0.5
            there = flat.index_select(0, start + (round(step * y) * row + round(step * x)))
            # Rays that have left their object are left out of all further steps.
            inside = (there == label).nonzero()[:, 0]
            if not len(inside):
                break
            start, label = start.index_select(0, inside), label.index_select(0, inside)

    nearest = distance[:, pixel].amin(0)
    # Equal labels in two images of the batch are two objects.
    image = pixel // padded.stride(0)
    _, owner = (image * (flat.max() + 1) + flat[pixel]).unique(return_inverse=True)
    largest = torch.zeros_like(nearest).scatter_reduce(0, owner, nearest, "amax")
    probability = torch.zeros(len(flat), device=flat.device)
    probability[pixel] = nearest / largest[owner]
    whole = torch.cat([probability[None], distance]).view(1 + rays, *padded.shape)
    return whole[:1, :, 1:-1, 1:-1].transpose(0, 1), whole[1:, :, 1:-1, 1:-1].transpose(0, 1)
