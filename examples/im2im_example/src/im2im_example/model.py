"""A training method: an ordinary LightningModule."""

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn


class ImageToImage(pl.LightningModule):
    """One network trained with one loss."""

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module | None,
        optimizer: Callable[..., Any] | None,
        scheduler: Callable[..., Any] | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self._optimizer, self._scheduler = optimizer, scheduler

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, [Z], Y, X) -> (B, K, [Z], Y, X) of the same size."""
        prediction: Tensor = self.network(image)
        return prediction

    def _step(self, batch: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
        assert self.loss is not None  # the core leaves it out for prediction only
        prediction = self(batch["image"])
        loss = self.loss(prediction, batch["target"].to(prediction), costmap=batch.get("costmap"))
        self.log(name, loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(prediction))
        return {"loss": loss, "prediction": prediction.detach()}

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Loss of a batch of patches."""
        return self._step(batch, "train_loss")

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Loss and prediction of a whole image; the trainer turns the prediction into figures."""
        return self._step(batch, "val_loss")

    def configure_optimizers(self) -> Any:
        """As the configuration says."""
        assert self._optimizer is not None
        optimizer = self._optimizer(self.parameters())
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._scheduler(optimizer, self.trainer)}
