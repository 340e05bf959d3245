"""CycleGAN: from one kind of image to another and back, learned without pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from im2im_core.targets import TargetScale
from im2im_gan.adversarial import AdversarialObjective
from im2im_gan.alternating import Alternating, frozen
from im2im_gan.config import CycleGanConfig
from im2im_gan.domains import MASK_RANGE
from im2im_gan.pool import ReplayPool


class CycleGan(Alternating):
    """Two generators whose succession gives the image back (Zhu et al., ICCV 2017).

    Domain A are the images, domain B the targets; which image and which target are in a batch together means nothing.
    `forward` maps A to B, or with `direction` "b-to-a" B to A, (B, C, [Z], Y, X) to (B, K, [Z], Y, X), from the units
    of preprocessed images (A) or target files (B) to the units of the files of the other.

    Args:
        config: weights, objective and direction.
        network: builds both generators.
        discriminator: builds both discriminators; None for prediction.
        loss: compares an image with what it comes back as; None for prediction.
        optimizer, scheduler: builders; None for prediction.
        spatial_dims: 2 or 3.
        in_channels, target_channels: of what `forward` is given and gives.
    """

    def __init__(
        self,
        config: CycleGanConfig,
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
        self.backwards = config.direction == "b-to-a"
        a, b = (target_channels, in_channels) if self.backwards else (in_channels, target_channels)
        self.network = network(a, b)
        self.network_back = network(b, a)
        self.discriminator = nn.ModuleDict({"a": discriminator(a), "b": discriminator(b)}) if discriminator else None
        self.masks = config.task == "semantic-segmentation"
        self.scale_a = TargetScale(config.image_range, spatial_dims)
        self.scale_b = TargetScale((MASK_RANGE,) * b if self.masks else config.target_range, spatial_dims)
        self.objective = AdversarialObjective(config.objective)
        self.pools = {"a": ReplayPool(config.pool_size), "b": ReplayPool(config.pool_size)}

    def generators(self) -> list[nn.Module]:
        """A to B, and B to A."""
        return [self.network, self.network_back]

    def discriminators(self) -> list[nn.Module]:
        """Of A, and of B."""
        assert self.discriminator is not None
        return [self.discriminator["a"], self.discriminator["b"]]

    def forward(self, image: Tensor) -> Tensor:
        """Prediction, see the class."""
        if self.backwards:
            return self.scale_a.to_target(self.network_back(self.seen(image)))
        return self.finish(self.network(image))

    def finish(self, raw: Tensor) -> Tensor:
        """B from the network's units to those of the files; of masks the network's units are logits."""
        return raw if self.masks else self.scale_b.to_target(raw)

    def seen(self, target: Tensor) -> Tensor:
        """B in the network's units."""
        return self.scale_b.to_network((target > 0) if self.masks else target)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """A step of the generators, then one of the discriminators."""
        real = {"a": batch["image"], "b": self.seen(batch["target"])}
        with frozen(self.discriminators()):
            parts, generated = self.deceive(real)
            loss = torch.stack(list(parts.values())).sum()
            self.advance_generators(loss, batch_idx)
        shown = {domain: self.pools[domain].exchange(image.detach()) for domain, image in generated.items()}
        discriminator_loss = self.tell_apart(real, shown)
        self.advance_discriminators(discriminator_loss, batch_idx)
        self.note("train", {"loss": loss, "discriminator_loss": discriminator_loss, **parts}, len(real["a"]))
        return loss.detach()

    def deceive(self, real: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weighted losses of the generators by name, and the generated images of each domain."""
        assert self.loss is not None
        a, b, config = real["a"], real["b"], self.config
        judge_a, judge_b = self.discriminators()
        made_b, made_a = self.network(a), self.network_back(b)
        adversarial = self.objective.generator(judge_a(made_a)) + self.objective.generator(judge_b(made_b))
        cycle = self.loss(self.network_back(made_b), a) + self.loss(self.network(made_a), b)
        parts = {
            "adversarial": config.adversarial_weight * adversarial / 2,
            "cycle": config.cycle_weight * cycle / 2,
        }
        if config.identity_weight:
            identity = self.loss(self.network_back(a), a) + self.loss(self.network(b), b)
            parts["identity"] = config.identity_weight * identity / 2
        return parts, {"a": made_a, "b": made_b}

    def tell_apart(self, real: Mapping[str, Tensor], shown: Mapping[str, Tensor]) -> Tensor:
        """Loss of both discriminators."""
        assert self.discriminator is not None
        judges = self.discriminator
        losses = [self.objective.discriminator(judges[d](real[d]), judges[d](shown[d])) for d in ("a", "b")]
        return torch.stack(losses).sum()

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Losses of whole images, and what A and B become; the pools stay as they are."""
        parts, generated = self.deceive({"a": batch["image"], "b": self.seen(batch["target"])})
        loss = torch.stack(list(parts.values())).sum()
        self.note("val", {"loss": loss, **parts}, len(batch["image"]))
        return {"loss": loss, "prediction": self.finish(generated["b"])}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the pools."""
        checkpoint["replay_pools"] = {domain: pool.state_dict() for domain, pool in self.pools.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the pools."""
        for domain, pool in self.pools.items():
            pool.load_state_dict(checkpoint.get("replay_pools", {}).get(domain, {}))
