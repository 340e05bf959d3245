"""One network, trained on pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from im2im_core.targets import TargetScale
from im2im_fcn.config import FcnConfig, PairsConfig


def outputs_of(config: PairsConfig, target_channels: int) -> int:
    """Channels of the prediction."""
    return config.classes or target_channels if config.task == "semantic-segmentation" else target_channels


def pooled(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over space, (B, K, 1, ...), each pixel counting by its weight."""
    axes = tuple(range(2, values.ndim))
    if weights is None:
        return values.mean(axes, keepdim=True)
    weights = weights.to(values.dtype).expand_as(values)
    return (values * weights).sum(axes, keepdim=True) / weights.sum(axes, keepdim=True).clamp(min=1e-6)


class Fcn(pl.LightningModule):  # type: ignore[misc]
    """A fully convolutional network on pairs (Long et al., CVPR 2015).

    `forward` maps (B, C, [Z], Y, X) to (B, K, [Z], Y, X): logits of classes, or intensities in the target's units. For
    regression all pixels of the output hold the one number, the mean over the image.

    Args:
        config: task, classes, range of the targets.
        network: builds the network from numbers of channels.
        loss: None for prediction.
        optimizer, scheduler: builders; None for prediction.
        spatial_dims: 2 or 3.
        in_channels, target_channels: of the data.
    """

    def __init__(
        self,
        config: PairsConfig,
        *,
        network: Callable[[int, int], nn.Module],
        loss: nn.Module | None,
        optimizer: Callable[..., Any] | None,
        scheduler: Callable[..., Any] | None,
        spatial_dims: int,
        in_channels: int,
        target_channels: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.residual = isinstance(config, FcnConfig) and config.residual
        self.loss = loss
        self.outputs = outputs_of(config, target_channels)
        self.network = network(in_channels, self.outputs)
        images = config.task != "semantic-segmentation"
        self.scale = TargetScale(config.target_range if images else None, spatial_dims)
        self._optimizer, self._scheduler = optimizer, scheduler

    def forward(self, image: Tensor) -> Tensor:
        """Prediction, see the class."""
        return self.finish(self.raw(image))

    def raw(self, image: Tensor) -> Tensor:
        """Output in the network's units."""
        if not self.residual:
            output: Tensor = self.network(image)
            return output
        image = self.scale.to_network(image)
        change: Tensor = self.network(image)
        return image + change

    def finish(self, raw: Tensor) -> Tensor:
        """From the network's units to those of the target."""
        if self.config.task == "semantic-segmentation":
            return raw
        if self.config.task == "regression":
            raw = pooled(raw).expand_as(raw)
        return self.scale.to_target(raw)

    def compare(self, raw: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Loss of the network's output against the target, in the network's units."""
        assert self.loss is not None
        target, costmap = batch["target"], batch.get("costmap")
        if self.config.task != "semantic-segmentation":
            target = self.scale.to_network(target)
        if self.config.task == "regression":
            raw, target, costmap = pooled(raw, costmap), pooled(target, costmap), None
        loss: Tensor = self.loss(raw, target, costmap=costmap)
        return loss

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of patches."""
        loss = self.compare(self.raw(batch["image"]), batch)
        self.log(
            "train_loss", loss.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"])
        )
        return loss

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Loss and prediction of a whole image; the trainer turns the prediction into figures."""
        raw = self.raw(batch["image"])
        loss = self.compare(raw, batch)
        self.log("val_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"]))
        return {"loss": loss, "prediction": self.finish(raw)}

    def configure_optimizers(self) -> Any:
        """As the configuration says."""
        assert self._optimizer is not None
        optimizer = self._optimizer(self.parameters())
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._scheduler(optimizer, self.trainer)}
