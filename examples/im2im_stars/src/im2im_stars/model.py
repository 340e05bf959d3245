"""Star-convex polygons as a LightningModule: Schmidt et al., MICCAI 2018. Imported by a factory only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# softplus of this is 1.
_ONE = math.log(math.e - 1)


class StarConvex(pl.LightningModule):  # type: ignore[misc]
    """One network that predicts for each pixel whether an object is there, and how far its border is along each ray.

    `forward` maps (B, C, Y, X) to (B, 1 + rays, Y, X): the logit of the object probability, and distances in pixels.
    Distances are positive, and those of an untrained network about `initial_radius`.

    Args:
        network: from image to 1 + rays channels.
        loss: None for prediction.
        optimizer: None for prediction.
        scheduler: None where the learning rate stays.
        initial_radius: in pixels.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module | None,
        optimizer: Callable[..., Any] | None,
        scheduler: Callable[..., Any] | None,
        *,
        initial_radius: float,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.initial_radius = network, loss, initial_radius
        self._optimizer, self._scheduler = optimizer, scheduler

    def forward(self, image: Tensor) -> Tensor:
        """Logit and distances, see the class."""
        predicted = self.network(image)
        distances = self.initial_radius * F.softplus(predicted[:, 1:] + _ONE)
        return torch.cat([predicted[:, :1], distances], dim=1)

    def undo(self, prediction: Tensor, *, turns: int, flip: bool) -> Tensor:
        """Rays of a turned image in the directions of the image, for test-time augmentation.

        The number of rays is a multiple of 4, so each turned ray lies on another one.

        Args:
            prediction: (B, 1 + rays, Y, X) of an image that was mirrored along X, if so, and then turned by
                `torch.rot90` in (Y, X), with its pixels back in place.
            turns: quarter turns of the image.
            flip: the image was mirrored.
        """
        logit, distances = prediction[:, :1], prediction[:, 1:]
        rays = distances.shape[1]
        distances = distances.roll(turns * rays // 4, dims=1)
        if flip:
            # Ray k is now at k - rays / 2, counted backwards.
            distances = distances.flip(1).roll(rays // 2 + 1, dims=1)
        return torch.cat([logit, distances], dim=1)

    def _step(self, batch: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
        assert self.loss is not None  # the core leaves it out for prediction only
        prediction = self(batch["image"])
        loss: Tensor = self.loss(prediction, batch["target"], costmap=batch.get("costmap"))
        self.log(name, loss.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(prediction))
        return loss, prediction

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of patches."""
        return self._step(batch, "train_loss")[0]

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Loss and prediction of a whole image; the trainer turns the prediction into figures."""
        loss, prediction = self._step(batch, "val_loss")
        return {"loss": loss, "prediction": prediction}

    def configure_optimizers(self) -> Any:
        """As the configuration says."""
        assert self._optimizer is not None
        optimizer = self._optimizer(self.parameters())
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._scheduler(optimizer, self.trainer)}
