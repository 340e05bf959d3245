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
    batch, _, height, width = labels.shape
    row = width + 2
    flat = F.pad(labels[:, 0].round().long(), (1, 1, 1, 1), value=_OUTSIDE).flatten()
    pixel = (flat > 0).nonzero()[:, 0]
    lengths = torch.ones(len(pixel) * rays, device=flat.device)

    # Those rays that are still on their way, as one list for all pixels: ray, start, and label of the start.
    which = torch.arange(len(lengths), device=flat.device)
    ray, start = which % rays, pixel.repeat_interleave(rays)
    label = flat[start]
    steps = torch.tensor(directions(rays), device=flat.device, dtype=torch.float32)
    for step in count(1):
        y, x = (step * steps).round().long().unbind(1)
        on = (flat[start + (y * row + x)[ray]] == label).nonzero()[:, 0]
        if not len(on):
            break
        which, ray, start, label = which[on], ray[on], start[on], label[on]
        lengths[which] += 1
    distance = lengths.view(-1, rays) - 0.5

    nearest = distance.amin(1)
    image = pixel // ((height + 2) * row)
    _, owner = torch.stack([image, flat[pixel]]).unique(dim=1, return_inverse=True)
    largest = torch.zeros_like(nearest).scatter_reduce(0, owner, nearest, "amax")
    values = torch.cat([(nearest / largest[owner])[:, None], distance], dim=1)

    result = values.new_zeros(len(flat), 1 + rays)
    result[pixel] = values
    result = result.view(batch, height + 2, row, 1 + rays)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
    return result[:, :1], result[:, 1:]
