"""pix2pix and pix2pixHD: a generator on pairs, and a discriminator that sees image and target together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from im2im_core.targets import TargetScale
from im2im_gan.adversarial import AdversarialObjective, feature_matching
from im2im_gan.alternating import Alternating, frozen
from im2im_gan.config import Pix2PixConfig
from im2im_gan.domains import MASK_RANGE


class Pix2Pix(Alternating):
    """Conditional adversarial training (Isola et al., CVPR 2017), with feature matching (Wang et al., CVPR 2018).

    `forward` maps (B, C, [Z], Y, X) to (B, K, [Z], Y, X) in the target's units, or to logits for segmentation. The
    generator is evaluated once per batch: the discriminator's loss and its own are of the same image.

    Args:
        config: weights and objective.
        network: builds the generator; its parameters have the names of those of an FCN, whose bundle it may start from.
        discriminator: builds the discriminator, for image and target beside each other; None for prediction.
        loss: compares prediction and target; None for prediction.
        optimizer, scheduler: builders; None for prediction.
        spatial_dims: 2 or 3.
        in_channels, target_channels: of the data.
    """

    def __init__(
        self,
        config: Pix2PixConfig,
        *,
        network: Callable[[int, int], nn.Module],
        discriminator: Callable[[int], nn.Module] | None,
        loss: nn.Module | None,
        optimizer: Callable[..., Any] | None,
        scheduler: Callable[..., Any] | None,
        spatial_dims: int,
        in_channels: int,
        target_channels: int,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        self.config = config
        self.loss = loss
        self.network = network(in_channels, target_channels)
        self.discriminator = discriminator(in_channels + target_channels) if discriminator else None
        self.masks = config.task == "semantic-segmentation"
        ranges = (MASK_RANGE,) * target_channels if self.masks else config.target_range
        self.scale = TargetScale(ranges, spatial_dims)
        self.objective = AdversarialObjective(config.objective)

    def generators(self) -> list[nn.Module]:
        """One."""
        return [self.network]

    def discriminators(self) -> list[nn.Module]:
        """One."""
        assert self.discriminator is not None
        return [self.discriminator]

    def forward(self, image: Tensor) -> Tensor:
        """Prediction, see the class."""
        return self.finish(self.network(image))

    def finish(self, raw: Tensor) -> Tensor:
        """From the network's units to those of the target; of masks the network's units are logits."""
        return raw if self.masks else self.scale.to_target(raw)

    def seen(self, target: Tensor) -> Tensor:
        """The target in the network's units."""
        return self.scale.to_network((target > 0) if self.masks else target)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """A step of the discriminator, then one of the generator."""
        image, target = batch["image"], self.seen(batch["target"])
        generated = self.network(image)
        discriminator_loss = self.tell_apart(image, generated.detach(), target)
        self.advance_discriminators(discriminator_loss, batch_idx)
        with frozen(self.discriminators()):
            parts = self.deceive(image, generated, target, batch.get("costmap"))
            loss = torch.stack(list(parts.values())).sum()
            self.advance_generators(loss, batch_idx)
        self.note("train", {"loss": loss, "discriminator_loss": discriminator_loss, **parts}, len(image))
        return loss.detach()

    def tell_apart(self, image: Tensor, generated: Tensor, target: Tensor) -> Tensor:
        """Loss of the discriminator."""
        [discriminator] = self.discriminators()
        return self.objective.discriminator(
            discriminator(torch.cat([image, target], 1)), discriminator(torch.cat([image, generated], 1))
        )

    def deceive(self, image: Tensor, generated: Tensor, target: Tensor, costmap: Tensor | None) -> dict[str, Tensor]:
        """Weighted losses of the generator by name."""
        assert self.loss is not None
        [discriminator] = self.discriminators()
        config = self.config
        judged = discriminator(torch.cat([image, generated], 1))
        parts = {"adversarial": config.adversarial_weight * self.objective.generator(judged)}
        if config.feature_matching_weight:
            with torch.no_grad():
                real = discriminator(torch.cat([image, target], 1))
            parts["feature_matching"] = config.feature_matching_weight * feature_matching(real, judged)
        if config.reconstruction_weight:
            compared: Tensor = self.loss(generated, target, costmap=costmap)
            parts["reconstruction"] = config.reconstruction_weight * compared
        return parts

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Losses and prediction of a whole image."""
        image, target = batch["image"], self.seen(batch["target"])
        generated = self.network(image)
        parts = self.deceive(image, generated, target, batch.get("costmap"))
        loss = torch.stack(list(parts.values())).sum()
        self.note("val", {"loss": loss, **parts}, len(image))
        return {"loss": loss, "prediction": self.finish(generated)}
