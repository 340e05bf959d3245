"""The spatial-embedding loss: Neven et al. 2019, CVPR; Lalit et al. 2022, Medical Image Analysis 81:102523."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from im2im_embedseg.centers import Method, object_centers
from im2im_embedseg.coordinates import coordinate_map, spacing
from im2im_embedseg.instances import Instances, find_instances, segment_mean
from im2im_embedseg.lovasz import segment_weights
from im2im_embedseg.pairs import expand, ranges_in_boxes, sort_into_cells

# A background pixel contributes at most 2 * phi, and the weights of an object add up to 1: leaving out pixels below
# this changes the loss of an object by less than 2e-7, which is below the resolution of float32.
NEGLIGIBLE = 1e-7
MAX_PAIRS = 8_000_000


@dataclass(frozen=True, slots=True)
class _Weights:
    """Gradient of the instance term with respect to phi, for every pair that matters."""

    owner: Tensor
    pixel: Tensor
    label: Tensor
    weight: Tensor


class SpatialEmbeddingLoss(nn.Module):
    """Pulls the embeddings of an object's pixels to its centre, with a learned bandwidth, and learns a seed map.

    Args:
        spatial_dims: 2 or 3.
        n_sigma: bandwidth channels; 1 shares one among all axes.
        grid: pixels over which a coordinate axis extends, ([Z], Y, X).
        pixel: length of such an axis, ([Z], Y, X).
        foreground_weight: weight of foreground pixels in the seed term.
        w_inst: weight of the instance term (Lovasz hinge on 2 phi - 1).
        w_var: weight of the variance of sigma inside an object.
        w_seed: weight of the seed term.
        center: what the offsets of an object aim at when no centre image is given.
    """

    def __init__(
        self,
        spatial_dims: int,
        n_sigma: int,
        grid: Sequence[int],
        pixel: Sequence[float],
        foreground_weight: float = 10.0,
        w_inst: float = 1.0,
        w_var: float = 10.0,
        w_seed: float = 1.0,
        center: Method = "centroid",
    ) -> None:
        super().__init__()
        self.dims, self.n_sigma = spatial_dims, n_sigma
        self.steps = spacing(grid, pixel)
        self.foreground_weight = foreground_weight
        self.w_inst, self.w_var, self.w_seed = w_inst, w_var, w_seed
        self.center = center

    def forward(
        self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None, center_image: Tensor | None = None
    ) -> Tensor:
        """Loss of a batch.

        Args:
            prediction: (B, D + n_sigma + 1, [Z], Y, X), raw: offsets x, y[, z], sigmas, seed.
            target: (B, 1, [Z], Y, X) labels, 0 = background.
            costmap: (B, 1, [Z], Y, X); a pixel of 0 influences nothing, others weigh the seed term.
            center_image: (B, 1, [Z], Y, X), not 0 at the objects' centres; an object without exactly one such pixel
                gets the mean of its coordinates.

        Returns:
            Scalar, float32.
        """
        with torch.autocast(prediction.device.type, enabled=False):
            return self._loss(prediction.float(), target, costmap, center_image)

    def _loss(self, prediction: Tensor, target: Tensor, costmap: Tensor | None, center_image: Tensor | None) -> Tensor:
        batch, shape = len(prediction), prediction.shape[2:]
        pixels = math.prod(shape)
        coordinates = coordinate_map(shape, self.steps, prediction.device)
        offset, sigma, seed = prediction.split([self.dims, self.n_sigma, 1], dim=1)
        # Pixel-major: every later step picks whole pixels.
        embedding = (torch.tanh(offset) + coordinates).flatten(2).transpose(1, 2).reshape(-1, self.dims)
        sigma = sigma.flatten(2).transpose(1, 2).reshape(-1, self.n_sigma)
        seed = torch.sigmoid(seed).flatten()
        cost = None if costmap is None else costmap[:, 0].reshape(-1).float()
        labels = target[:, 0].reshape(batch, -1).long()
        if cost is not None:
            labels = torch.where(cost.view(batch, -1) > 0, labels, 0)
        pixel_weight = torch.full_like(seed, 1 / pixels) if cost is None else _normalized(cost, batch)
        found = find_instances(labels)
        background = labels.flatten() == 0
        seed_loss = (seed.square() * pixel_weight * background).sum()
        if not found.count:
            return self.w_seed * seed_loss / batch + 0 * prediction.sum()
        where = coordinates.flatten(1).t()[found.pixel % pixels]
        center = object_centers(found, where, self.center, self.steps, center_image)
        own_sigma = sigma[found.pixel]
        mean_sigma = segment_mean(own_sigma, found.owner, found.count)
        # Every object counts as one part of its image's objects.
        object_weight = 1 / found.per_sample(batch)[found.sample]
        spread = (own_sigma - mean_sigma.detach()[found.owner]).square().mean(1)
        variance_loss = (spread * (object_weight / found.size)[found.owner]).sum()
        scale = torch.exp(10 * mean_sigma)
        valid = None if cost is None else cost > 0
        instance_loss, phi = self._instance_loss(embedding, scale, center, found, object_weight, batch, valid)
        error = (seed[found.pixel] - phi.detach()).square() * pixel_weight[found.pixel]
        seed_loss = seed_loss + self.foreground_weight * error.sum()
        return (self.w_inst * instance_loss + self.w_var * variance_loss + self.w_seed * seed_loss) / batch

    def _instance_loss(
        self,
        embedding: Tensor,
        scale: Tensor,
        center: Tensor,
        found: Instances,
        object_weight: Tensor,
        batch: int,
        valid: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Weighted sum of the objects' Lovasz hinge losses, and phi of every foreground pixel for its own object."""
        own = _phi(embedding, scale, center, found.owner, found.pixel)
        pieces = []
        with torch.no_grad():
            free = embedding.detach()
            radius = torch.sqrt(-math.log(NEGLIGIBLE) / scale.detach().expand(-1, self.dims))
            sample = torch.arange(batch, device=free.device).repeat_interleave(len(free) // batch)
            steps = torch.tensor(self.steps[::-1], device=free.device)
            cells = sort_into_cells(free, sample, batch, 4 * steps)
            owner, start, length = ranges_in_boxes(cells, found.sample, center, radius)
            for part in _chunks(owner, length):
                pieces.append((owner[part], start[part], length[part]))
        loss = own.new_zeros(())
        for owner, start, length in pieces:
            pair_owner, pair_pixel = self._others(free, scale.detach(), center, found, cells, (owner, start, length), valid)
            members = (found.owner >= owner[0]) & (found.owner <= owner[-1]) if len(pieces) > 1 else slice(None)
            other = _phi(embedding, scale, center, pair_owner, pair_pixel)
            errors = torch.cat([2 - 2 * own[members], 2 * other])
            segments = torch.cat([found.owner[members], pair_owner])
            labels = torch.arange(len(errors), device=errors.device) < len(errors) - len(other)
            weights = segment_weights(segments, errors.detach(), labels, found.count)
            loss = loss + (errors * weights * object_weight[segments]).sum()
        return loss, own

    @torch.no_grad()
    def _others(
        self,
        embedding: Tensor,
        scale: Tensor,
        center: Tensor,
        found: Instances,
        cells: object,
        ranges: tuple[Tensor, Tensor, Tensor],
        valid: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Pairs of an object and a pixel that is not its own but whose membership is not negligible."""
        owner, pixel = expand(cells, *ranges)  # type: ignore[arg-type]
        distance = ((embedding[pixel] - center[owner]).square() * scale[owner]).sum(1)
        kept = (distance < -math.log(NEGLIGIBLE)) & (found.of_pixel[pixel] != owner)
        if valid is not None:
            kept &= valid[pixel]
        return owner[kept], pixel[kept]


def _phi(embedding: Tensor, scale: Tensor, center: Tensor, owner: Tensor, pixel: Tensor) -> Tensor:
    """Membership of pixels in objects, 0 to 1."""
    distance = embedding.index_select(0, pixel) - center.index_select(0, owner)
    return torch.exp(-(distance.square() * scale.index_select(0, owner)).sum(1))


def _normalized(cost: Tensor, batch: int) -> Tensor:
    """Cost map as pixel weights: divided by the number of pixels that count in the same image."""
    counted = (cost.view(batch, -1) > 0).sum(1, keepdim=True).clamp(min=1)
    return (cost.view(batch, -1) / counted).flatten()


def _chunks(owner: Tensor, length: Tensor) -> list[slice]:
    """Cut ranges into runs of whole objects with at most MAX_PAIRS pairs, so that memory stays bounded."""
    total = torch.cumsum(length, 0)
    if not len(total) or int(total[-1]) <= MAX_PAIRS:
        return [slice(0, len(owner))]
    ends = torch.nonzero(torch.diff(owner, append=owner.new_full((1,), -1)))[:, 0].tolist()
    slices, first, spent = [], 0, 0
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        if following is None or int(total[following]) - spent > MAX_PAIRS:
            slices.append(slice(first, end + 1))
            first, spent = end + 1, int(total[end])
    return slices
