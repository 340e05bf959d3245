"""Probabilistic U-Net: many plausible results of one image (Kohl et al., NeurIPS 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from im2im_core.targets import masks_of
from im2im_fcn.config import ProbabilisticConfig
from im2im_fcn.fcn import Fcn
from im2im_fcn.losses.elbo import kl_divergence


class GaussianEncoder(nn.Module):
    """From an image, or an image beside its target, to mean and log variance of a diagonal Gaussian, each (B, L)."""

    def __init__(self, in_channels: int, channels: Sequence[int], latent_dim: int, spatial_dims: int) -> None:
        super().__init__()
        conv: Any = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        layers: list[nn.Module] = []
        for index, width in enumerate(channels):
            # A strided convolution, which any size goes through, in place of the published pooling.
            layers += [conv(in_channels, width, 3, stride=2 if index else 1, padding=1), nn.ReLU()]
            layers += [conv(width, width, 3, padding=1), nn.ReLU()]
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(in_channels, 2 * latent_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, [Z], Y, X) to mean and log variance."""
        mean, logvar = self.head(self.features(image).flatten(2).mean(2)).chunk(2, dim=1)
        return mean, logvar


class ProbabilisticUNet(Fcn):
    """A network whose output is changed by a latent vector, drawn from a prior that the image decides.

    `forward` takes the mean of the prior; what `sampler` gives draws from it. Trained by the evidence lower bound: the
    loss with a latent of the posterior, which also sees the target, plus `beta` times the divergence of posterior and
    prior.
    """

    config: ProbabilisticConfig

    def __init__(
        self,
        config: ProbabilisticConfig,
        *,
        network: Callable[[int, int], nn.Module],
        spatial_dims: int,
        in_channels: int,
        **parts: Any,
    ) -> None:
        super().__init__(
            config,
            network=lambda channels, _: network(channels, config.features),
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            **parts,
        )
        encoder = (config.latent_channels, config.latent_dim, spatial_dims)
        self.prior = GaussianEncoder(in_channels, *encoder)
        self.posterior = GaussianEncoder(in_channels + self.outputs, *encoder)
        conv: Any = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        width = config.features
        self.combine = nn.Sequential(
            conv(width + config.latent_dim, width, 1),
            nn.ReLU(),
            conv(width, width, 1),
            nn.ReLU(),
            conv(width, self.outputs, 1),
        )

    def raw(self, image: Tensor) -> Tensor:
        """Output of the prior's mean, in the network's units."""
        return self.decode(self.network(image), self.prior(image)[0])

    def sampler(self, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
        """A forward pass to one plausible result.

        The draw, a standard normal vector, is the same for all windows of an image, so that they fit together.

        Args:
            generator: on the CPU; drawn from once.
        """
        noise = torch.randn(self.config.latent_dim, generator=generator)

        def forward(image: Tensor) -> Tensor:
            mean, logvar = self.prior(image)
            latent = mean + noise.to(mean) * (logvar / 2).exp()
            return self.finish(self.decode(self.network(image), latent))

        return forward

    def decode(self, features: Tensor, latent: Tensor) -> Tensor:
        """Features (B, F, [Z], Y, X) and latent (B, L) to the output in the network's units."""
        spread = latent.view(*latent.shape, *[1] * (features.ndim - 2)).expand(-1, -1, *features.shape[2:])
        combined: Tensor = self.combine(torch.cat([features, spread.to(features.dtype)], 1))
        return combined

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Negative evidence lower bound."""
        image = batch["image"]
        prior = self.prior(image)
        mean, logvar = self.posterior(torch.cat([image, self._seen(batch["target"])], 1))
        latent = mean + torch.randn_like(mean) * (logvar / 2).exp()
        raw = self.decode(self.network(image), latent)
        divergence = kl_divergence(prior[0], prior[1], mean, logvar, self.config.kl_clamp)
        loss = self.compare(raw, batch) + self.config.beta * divergence
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(image))
        self.log("train_kl", divergence.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(image))
        return loss

    def _seen(self, target: Tensor) -> Tensor:
        """The target as the posterior sees it: a mask for each class, or intensities in the network's units."""
        if self.config.task != "semantic-segmentation":
            return self.scale.to_network(target)
        shape = (len(target), self.outputs, *target.shape[2:])
        return masks_of(torch.empty(shape, device=target.device), target)
