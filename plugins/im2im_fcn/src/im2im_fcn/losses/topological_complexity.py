"""A regularizer on how many features there are and how long they last."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from im2im_core.targets import one_hot
from im2im_fcn.losses.persistence import dimensions_of, load_gudhi, persistence_diagrams
from im2im_fcn.losses.regularizer_config import TopologicalComplexityConfig
from im2im_fcn.losses.targets import as_classes


class TopologicalComplexityLoss(nn.Module):
    """Lifetimes of components, holes and cavities compared between prediction and target, wherever they lie.

    `sorted` is the mean squared difference of the sorted lifetimes (the older name for it is Wasserstein, which it is
    not); the others compare three statistics of them. Defaults depart from the older definition in three ways, each
    with a setting: lists are filled with zeros to the longer of the two and not to `most` (`padded`), lifetimes are not
    divided by the largest one, which hides a faint prediction (`normalize`), and dimensions are added, as their
    harmonic mean is 0 as soon as one of them agrees (`balance`). Where the cost map is 0 the prediction is taken to be
    the target, so it has no gradient there. Runs on the CPU.

    Raises:
        ConfigError: GUDHI is not installed, or a dimension is asked for that the images do not have.
    """

    def __init__(self, config: TopologicalComplexityConfig, spatial_dims: int) -> None:
        super().__init__()
        load_gudhi()
        self.config = config
        self.dimensions = dimensions_of(config.dimensions, spatial_dims)

    def forward(self, prediction: Tensor, target: Tensor, costmap: Tensor | None = None) -> Tensor:
        """Scalar loss."""
        logits, classes = as_classes(prediction, target, costmap, self.config.scale)
        found = self._lifetimes(logits.softmax(1)[:, 1:])
        wanted = self._lifetimes(one_hot(classes, logits.shape[1], logits.dtype)[:, 1:])
        terms = torch.stack([self._compare(p, t) for p, t in zip(found, wanted, strict=True)])
        if self.config.balance and len(terms) > 1:
            return _harmonic_mean(terms)
        return terms.sum()

    def _lifetimes(self, images: Tensor) -> list[list[Tensor]]:
        """For each dimension the lifetimes in every channel of every sample."""
        diagrams = [persistence_diagrams(image, self.dimensions) for image in images.flatten(0, 1)]
        return [[x[:, 0] - x[:, 1] for x in column] for column in zip(*diagrams, strict=True)]

    def _compare(self, found: list[Tensor], wanted: list[Tensor]) -> Tensor:
        if self.config.normalize:
            found, wanted = _normalized(found), _normalized(wanted)
        pairs = [
            self._filled(*(x[x > self.config.threshold] for x in pair)) for pair in zip(found, wanted, strict=True)
        ]
        return torch.stack([self._difference(p, t) for p, t in pairs]).mean()

    def _filled(self, *lifetimes: Tensor) -> list[Tensor]:
        """Both lists from long to short, filled with zeros to one length."""
        lists = [x.sort(descending=True).values[: self.config.most] for x in lifetimes]
        length = self.config.most if self.config.padded else max(1, *(len(x) for x in lists))
        return [F.pad(x, (0, length - len(x))) for x in lists]

    def _difference(self, found: Tensor, wanted: Tensor) -> Tensor:
        if self.config.metric == "sorted":
            return F.mse_loss(found, wanted)
        error = self._statistics(found) - self._statistics(wanted)
        if self.config.metric == "log-cosh":
            return error.cosh().log().mean()
        return (error**2).mean() if self.config.metric == "mse" else error.abs().mean()

    def _statistics(self, lifetimes: Tensor) -> Tensor:
        """Mean that favours long lifetimes, share of those above the threshold, longest."""
        capped = lifetimes.clamp(max=50)
        mean = ((capped / self.config.temperature).softmax(0) * capped).sum()
        steps = ((lifetimes - self.config.threshold) / self.config.temperature).clamp(-50, 50)
        return torch.stack([mean, steps.sigmoid().mean(), lifetimes.max()])


def _normalized(lists: list[Tensor]) -> list[Tensor]:
    """All lifetimes divided by the largest of them."""
    every = torch.cat(lists)
    return [x / every.max().clamp(min=1e-8) for x in lists] if len(every) else lists


def _harmonic_mean(terms: Tensor) -> Tensor:
    # Without a division by single terms, any of which may be 0.
    others = torch.stack([torch.cat([terms[:i], terms[i + 1 :]]).prod() for i in range(len(terms))])
    return len(terms) * terms.prod() / others.sum().clamp(min=1e-8)
