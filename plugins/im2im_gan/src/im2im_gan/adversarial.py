"""From a discriminator's verdicts to losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Verdict = Sequence[Sequence[Tensor]]


class AdversarialObjective:
    """How right a discriminator is, and how well it is deceived; of several scales the mean.

    least-squares: squared distance of the logits to 1 for real and 0 for generated (Mao et al., ICCV 2017); bce: cross
    entropy (Goodfellow et al., NeurIPS 2014, the generator's in the form that does not saturate); hinge: Lim & Ye 2017.

    Args:
        name: which of them.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def generator(self, verdict: Verdict) -> Tensor:
        """Least when generated images are judged real."""
        return _mean([self._distance(features[-1], real=True, deceiving=True) for features in verdict])

    def discriminator(self, real: Verdict, generated: Verdict) -> Tensor:
        """Least when both are told apart; half of it for each."""
        losses = [self._distance(features[-1], real=True) for features in real]
        losses += [self._distance(features[-1], real=False) for features in generated]
        return _mean(losses)

    def _distance(self, logits: Tensor, *, real: bool, deceiving: bool = False) -> Tensor:
        logits = logits.float()  # verdicts are few, and their squares overflow in half precision
        if self.name == "least-squares":
            return (logits - float(real)).square().mean()
        if self.name == "bce":
            return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))
        if deceiving:
            return -logits.mean()
        return F.relu(1 - logits if real else 1 + logits).mean()


def feature_matching(real: Verdict, generated: Verdict) -> Tensor:
    """Mean absolute difference of the features, summed over the layers, mean over scales (Wang et al., CVPR 2018).

    Args:
        real: features of the target; no gradient flows into them.
        generated: features of the generated image.
    """
    return _mean(
        [
            torch.stack([F.l1_loss(b.float(), a.detach().float()) for a, b in zip(one, other, strict=True)]).sum()
            for one, other in zip(real, generated, strict=True)
        ]
    )


def _mean(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()
