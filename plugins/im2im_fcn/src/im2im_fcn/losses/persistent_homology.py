"""A regularizer on components, holes and cavities, by their persistence images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core.targets import one_hot
from im2im_fcn.losses.persistence import dimensions_of, load_gudhi, persistence_diagrams
from im2im_fcn.losses.regularizer_config import PersistentHomologyConfig
from im2im_fcn.losses.targets import as_classes


class PersistentHomologyLoss(nn.Module):
    """Difference of the persistence images (Adams et al., JMLR 18, 1, 2017) of prediction and target.

    One pair of images for each sample, foreground class and dimension. Width `fixed` is the default: with `separate`
    widths, each from its own diagram, faint noise makes the images of a nearly perfect prediction differ much. Where
    the cost map is 0 the prediction is taken to be the target, so it has no gradient there. Runs on the CPU.

    Raises:
        ConfigError: GUDHI is not installed, or a dimension is asked for that the images do not have.
    """

    def __init__(self, config: PersistentHomologyConfig, spatial_dims: int) -> None:
        super().__init__()
        load_gudhi()
        self.config = config
        self.dimensions = dimensions_of(config.dimensions, spatial_dims)

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        logits, classes = as_classes(prediction, target, costmap, self.config.scale)
        probabilities, masks = logits.softmax(1), one_hot(classes, logits.shape[1], logits.dtype)
        losses = []
        for number in range(1, logits.shape[1]):
            pairs = zip(probabilities[:, number], masks[:, number], strict=True)
            samples = torch.stack([self._sample(p, t) for p, t in pairs])
            worst = torch.minimum(samples.max(), 5 * samples.mean() + 1e-8)
            losses.append(0.7 * samples.mean() + 0.3 * worst)
        return torch.stack(losses).mean()

    def _sample(self, probability: Tensor, mask: Tensor) -> Tensor:
        pairs = zip(
            persistence_diagrams(probability, self.dimensions), persistence_diagrams(mask, self.dimensions), strict=True
        )
        return torch.stack([self._dimension(p, t) for p, t in pairs]).sum()

    def _dimension(self, found: Tensor, wanted: Tensor) -> Tensor:
        found, wanted = (_strongest(x, self.config.threshold, self.config.most) for x in (found, wanted))
        sigmas = [self.config.sigma] * 2
        if self.config.width == "shared":
            sigmas = [self._sigma(torch.cat([found, wanted]))] * 2
        elif self.config.width == "separate":
            sigmas = [self._sigma(found), self._sigma(wanted)]
        one = persistence_image(found, sigmas[0], self.config.resolution)
        other = persistence_image(wanted, sigmas[1], self.config.resolution)
        if self.config.metric == "smooth-l1":
            return F.smooth_l1_loss(one, other, beta=0.5)
        return F.mse_loss(one, other) if self.config.metric == "mse" else F.l1_loss(one, other)

    def _sigma(self, diagram: Tensor) -> float:
        if len(diagram) <= 4:
            return self.config.sigma
        lifetimes = (diagram[:, 0] - diagram[:, 1]).detach().abs()
        spread = lifetimes.quantile(0.75) - lifetimes.quantile(0.25)
        return max(0.9 * max(float(spread), 1e-4) * math.pow(len(diagram), -0.2), 1e-4)


def _strongest(diagram: Tensor, threshold: float, most: int) -> Tensor:
    """At most so many features, those that last longest."""
    lifetimes = (diagram[:, 0] - diagram[:, 1]).detach()
    diagram, lifetimes = diagram[lifetimes > threshold], lifetimes[lifetimes > threshold]
    return diagram[lifetimes.topk(most).indices] if len(diagram) > most else diagram


def persistence_image(diagram: Tensor, sigma: float, resolution: int) -> Tensor:
    """Gaussians at (birth, death) of every feature (n, 2), weighted by its squared lifetime, on a grid over 0 to 1.

    Returns:
        (resolution, resolution), axis 0 for birth.
    """
    grid = torch.linspace(0, 1, resolution, dtype=diagram.dtype, device=diagram.device)
    weights = (diagram[:, 0] - diagram[:, 1]).abs().clamp(max=10) ** 2
    # The Gaussian is a product of one along each axis, so the sum over features is a matrix product.
    along = torch.exp(-((grid[:, None, None] - diagram) ** 2) / (2 * sigma**2 + 1e-8))
    return torch.einsum("n,in,jn->ij", weights, along[..., 0], along[..., 1])
