"""The divergence in the evidence lower bound of a probabilistic network."""

from __future__ import annotations

from torch import Tensor


def kl_divergence(
    prior_mean: Tensor,
    prior_logvar: Tensor,
    posterior_mean: Tensor,
    posterior_logvar: Tensor,
    clamp: float | None = None,
) -> Tensor:
    """KL(posterior || prior) of diagonal Gaussians, summed over latent axes, averaged over samples.

    Term of the Probabilistic U-Net (Kohl et al., NeurIPS 2018).

    Args:
        prior_mean: (B, latent).
        prior_logvar: (B, latent), logarithm of the variance.
        posterior_mean: as the prior's.
        posterior_logvar: as the prior's.
        clamp: bound on the size of both logarithms; None: no bound.

    Returns:
        Scalar, 0 or more.
    """
    if clamp is not None:
        prior_logvar, posterior_logvar = (x.clamp(-clamp, clamp) for x in (prior_logvar, posterior_logvar))
    distance = (posterior_mean - prior_mean) ** 2 * (-prior_logvar).exp()
    terms = prior_logvar - posterior_logvar + (posterior_logvar - prior_logvar).exp() + distance - 1
    return 0.5 * terms.flatten(1).sum(1).mean()
