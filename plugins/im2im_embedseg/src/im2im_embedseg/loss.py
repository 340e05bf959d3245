"""The spatial-embedding loss of Neven et al. 2019 (CVPR) and Lalit et al. 2022 (Medical Image Analysis 81:102523)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from im2im_embedseg.centers import Method, check_method, object_centers
from im2im_embedseg.coordinates import check_geometry, coordinate_map, spacing, split_prediction
from im2im_embedseg.instance_term import Setting, instance_term
from im2im_embedseg.instances import BACKGROUND, Instances, find_instances

# exp(10 sigma) stays a float32 whose products with squared distances are finite.
_LARGEST_EXPONENT = 60.0


class SpatialEmbeddingLoss(nn.Module):
    """Pulls the embeddings of an object's pixels to its centre, with a learned bandwidth, and learns a seed map.

    Three terms, each a mean over the images of a batch:

    - instance: mean over the objects of the Lovasz hinge of 2 phi - 1, where phi is the membership of a pixel in the
      object, exp(-sum_axis (e - centre)^2 exp(10 mean sigma));
    - variance: mean over the objects of the variance of sigma within;
    - seed: mean over the pixels of the squared difference between seed value and phi (background: 0).

    Args:
        spatial_dims: 2 or 3.
        n_sigma: bandwidth channels, one per axis, or 1 that all axes share.
        grid: pixels over which a coordinate axis extends, ([Z], Y, X).
        pixel: length of such an axis in coordinate units, ([Z], Y, X).
        foreground_weight: weight of foreground pixels in the seed term.
        w_inst: weight of the instance term.
        w_var: weight of the variance term.
        w_seed: weight of the seed term.
        center: what the offsets of an object aim at where no centre image is given.

    Raises:
        ValueError: the arguments do not describe one coordinate system, or `center` is unknown.
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
        check_geometry(spatial_dims, n_sigma, grid, pixel)
        self.spatial_dims, self.n_sigma = spatial_dims, n_sigma
        self.steps = spacing(grid, pixel)
        self.foreground_weight = foreground_weight
        self.w_inst, self.w_var, self.w_seed = w_inst, w_var, w_seed
        check_method(center)
        self.center: Method = center

    def forward(
        self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None, center_image: Tensor | None = None
    ) -> Tensor:
        """Loss of a batch.

        Args:
            prediction: (B, D + n_sigma + 1, [Z], Y, X), raw network output: offsets x, y[, z], sigmas, seed.
            target: (B, 1, [Z], Y, X) labels as integers or floats, 0 = background.
            costmap: (B, 1, [Z], Y, X), not negative. A pixel of 0 influences nothing; others weigh the seed term.
            center_image: (B, 1, [Z], Y, X), not 0 at centres. An object with exactly one such pixel aims at it, every
                other one at the mean of its coordinates.

        Returns:
            Scalar float32.

        Raises:
            ValueError: shapes do not fit.
        """
        if prediction.ndim != self.spatial_dims + 2:
            raise ValueError(f"prediction has {prediction.ndim} axes, expected {self.spatial_dims + 2}")
        wanted = (len(prediction), 1, *prediction.shape[2:])
        for name, given in {"target": target, "costmap": costmap, "center_image": center_image}.items():
            if given is not None and tuple(given.shape) != wanted:
                raise ValueError(f"{name} has shape {tuple(given.shape)}, expected {wanted}")
        # Squared distances and their exponentials have no meaning in half precision.
        with torch.autocast(prediction.device.type, enabled=False):
            return self._loss(prediction, target, costmap, center_image)

    def _loss(self, prediction: Tensor, target: Tensor, costmap: Tensor | None, center_image: Tensor | None) -> Tensor:
        batch, shape = len(prediction), prediction.shape[2:]
        coordinates = coordinate_map(shape, self.steps, prediction.device)
        offset, sigma, seed = split_prediction(prediction, self.spatial_dims, self.n_sigma, channel_axis=1)
        # One flat list of all pixels of the batch per channel: picking from such lists is what everything below does.
        embedding = [values.reshape(-1) for values in (offset + coordinates).unbind(1)]
        sigmas = [values.reshape(-1) for values in sigma.unbind(1)]
        seed = seed.reshape(-1)

        counts = None if costmap is None else (costmap > 0).reshape(-1)
        found = find_instances(target.reshape(batch, -1), counts)
        pixel_weight = _pixel_weight(costmap, batch, math.prod(shape), prediction.device)
        seed_term = (seed.square() * pixel_weight * (found.of_pixel == BACKGROUND)).sum()
        if not found.count:
            # Through all channels, so that a backward pass finds a gradient, of 0, for each of them.
            return self.w_seed * seed_term / batch + 0 * prediction.float().sum()

        # Every object is an equal share of the objects of its image.
        share = (1 / found.per_sample(batch)).index_select(0, found.sample)
        center = object_centers(found, coordinates, self.center, center_image)
        variances, scales = zip(*(_sigma_of_objects(values, found) for values in sigmas), strict=True)
        variance_term = (torch.stack(variances).mean(0) * share).sum()
        scale = torch.stack(scales, dim=1).expand(-1, self.spatial_dims)
        setting = Setting(found, center, share, counts, shape, self.steps)
        term, phi = instance_term(setting, scale, embedding)
        error = (seed.index_select(0, found.pixel) - phi).square()
        foreground_term = (error * pixel_weight.index_select(0, found.pixel)).sum()
        seed_term = seed_term + self.foreground_weight * foreground_term
        return (self.w_inst * term + self.w_var * variance_term + self.w_seed * seed_term) / batch


def _sigma_of_objects(sigma: Tensor, found: Instances) -> tuple[Tensor, Tensor]:
    """Variance of a sigma channel (B * N,) within each object, and the bandwidth exp(10 mean), both (K,)."""
    own = sigma.index_select(0, found.pixel)
    mean = found.mean(own)
    # Only the pixels are drawn to the mean, not the mean to them.
    spread = (own - mean.detach().index_select(0, found.owner)).square()
    exponent = (10 * mean).clamp(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)
    return found.mean(spread), torch.exp(exponent)


def _pixel_weight(costmap: Tensor | None, batch: int, pixels: int, device: torch.device) -> Tensor:
    """(B * N,) cost over the number of pixels that count in the same image."""
    if costmap is None:
        return torch.full((batch * pixels,), 1 / max(pixels, 1), device=device)
    cost = costmap.reshape(batch, -1).float().clamp(min=0)
    return (cost / (cost > 0).sum(1, keepdim=True).clamp(min=1)).reshape(-1)
