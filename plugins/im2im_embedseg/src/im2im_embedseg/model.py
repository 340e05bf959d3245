"""EmbedSeg as a LightningModule: Lalit et al. 2022, Medical Image Analysis 81:102523; Neven et al. 2019, CVPR."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from im2im_embedseg.config import EmbedSegConfig


class EmbedSeg(pl.LightningModule):
    """One network that predicts, per pixel, the offset to its object's centre, bandwidths and a seed value.

    `forward` maps (B, C, [Z], Y, X) to (B, D + n_sigma + 1, [Z], Y, X), raw: offsets before tanh in the order x, y[, z],
    sigmas, seed before the sigmoid.
    """

    def __init__(
        self,
        config: EmbedSegConfig,
        *,
        network: Callable[[int, int], nn.Module],
        loss: nn.Module | None,
        optimizer: Callable[..., Any] | None,
        scheduler: Callable[..., Any] | None,
        spatial_dims: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        n_sigma = config.sigmas(spatial_dims)
        self.loss = loss
        self.network = network(in_channels, spatial_dims + n_sigma + 1)
        self._optimizer, self._scheduler = optimizer, scheduler
        spacing = [
            extent / (grid - 1)
            for extent, grid in zip(config.extent_per_axis(spatial_dims), config.grid_per_axis(spatial_dims), strict=True)
        ]
        radii = torch.tensor([config.initial_radius * step for step in reversed(spacing)])[-n_sigma:]
        # phi = exp(-d^2 exp(10 sigma)) falls to one half at the radius when exp(10 sigma) = ln 2 / radius^2.
        sigma = torch.log(math.log(2) / radii**2) / 10
        bias = torch.zeros(spatial_dims + n_sigma + 1)
        bias[spatial_dims : spatial_dims + n_sigma] = sigma
        # Constant, and not a parameter: any network may be used, whatever its last layer is.
        self.register_buffer("initial", bias.view(1, -1, *[1] * spatial_dims))

    def forward(self, image: Tensor) -> Tensor:
        """Raw prediction, see the class."""
        predicted: Tensor = self.network(image)
        return predicted + self.initial

    def _step(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        assert self.loss is not None
        prediction = self(batch["image"])
        return self.loss(prediction, batch["target"], costmap=batch.get("costmap")), prediction

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of patches."""
        loss, _ = self._step(batch)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Loss and prediction of a whole image; the trainer turns the prediction into figures."""
        loss, prediction = self._step(batch)
        self.log("val_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return {"loss": loss, "prediction": prediction}

    def configure_optimizers(self) -> Any:
        """As the configuration says."""
        assert self._optimizer is not None
        optimizer = self._optimizer(self.parameters())
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._scheduler(optimizer)}
