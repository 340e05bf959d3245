"""EmbedSeg as a LightningModule: Lalit et al. 2022, Medical Image Analysis 81:102523; Neven et al. 2019, CVPR."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from im2im_embedseg.config import EmbedSegConfig
from im2im_embedseg.coordinates import spacing
from im2im_embedseg.turning import undo_turns


class EmbedSeg(pl.LightningModule):  # type: ignore[misc]
    """One network that predicts, per pixel, the offset to its object's centre, bandwidths and a seed value.

    `forward` maps (B, C, [Z], Y, X) to (B, D + n_sigma + 1, [Z], Y, X), raw: offsets before tanh, x, y[, z];
    sigmas; seed before the sigmoid.
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
        steps = spacing(config.grid_per_axis(spatial_dims), config.extent_per_axis(spatial_dims))
        self.n_sigma, self.steps = n_sigma, steps
        gain, start = output_units(spatial_dims, n_sigma, steps, config.radius_per_axis(spatial_dims))
        axes = "xyz"[:spatial_dims]
        sigmas = (
            [f"sigma-{axis}" for axis in axes] if n_sigma == spatial_dims else [f"sigma-{i}" for i in range(n_sigma)]
        )
        self.output_names = (*(f"offset-{axis}" for axis in axes), *sigmas, "seed")
        # Constants and no parameters: any network may be used, whatever its last layer is.
        self.register_buffer("gain", gain, persistent=False)
        self.register_buffer("start", start, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Raw prediction, see the class."""
        predicted: Tensor = self.network(image)
        scaled: Tensor = predicted * self.gain + self.start
        return scaled

    def undo(self, prediction: Tensor, *, turns: int, flip: bool) -> Tensor:
        """Offsets and bandwidths of a turned image in the directions of the image, for test-time augmentation."""
        return undo_turns(prediction, turns=turns, flip=flip, n_sigma=self.n_sigma, steps=self.steps)

    def _step(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        assert self.loss is not None
        prediction = self(batch["image"])
        # Only the data set `instances` knows the centres, and only the loss of this plug-in takes them.
        centers = {key: batch[key] for key in ("center_image",) if key in batch}
        loss: Tensor = self.loss(prediction, batch["target"], costmap=batch.get("costmap"), **centers)
        return loss, prediction

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of patches."""
        loss, _ = self._step(batch)
        self.log(
            "train_loss", loss.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"])
        )
        return loss

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Loss and prediction of a whole image; the trainer turns the prediction into figures."""
        loss, prediction = self._step(batch)
        self.log("val_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"]))
        return {"loss": loss, "prediction": prediction}

    def configure_optimizers(self) -> Any:
        """As the configuration says."""
        assert self._optimizer is not None
        optimizer = self._optimizer(self.parameters())
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._scheduler(optimizer, self.trainer)}


def output_units(dims: int, n_sigma: int, steps: Sequence[float], radius: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Factor and summand that bring the outputs of an untrained network, which are about 1, to the scale of objects.

    An offset of 1 becomes one radius; a sigma of 0 becomes the bandwidth at which phi is one half at the radius, and
    a sigma of 1 multiplies that bandwidth by e. Without this, embeddings start spread over the whole image, and the
    first steps are spent on learning the unit of length.

    Args:
        dims: 2 or 3.
        n_sigma: bandwidth channels.
        steps: spacing per axis, ([Z], Y, X).
        radius: of typical objects, in pixels, ([Z], Y, X).

    Returns:
        Both (1, D + n_sigma + 1, 1, ...).
    """
    lengths = [pixels * step for pixels, step in zip(reversed(radius), reversed(steps), strict=True)]
    gain = torch.cat([torch.tensor(lengths), torch.full((n_sigma,), 0.1), torch.ones(1)])
    start = torch.zeros(dims + n_sigma + 1)
    start[dims : dims + n_sigma] = torch.log(math.log(2) / torch.tensor(lengths)[:n_sigma] ** 2) / 10
    shape = (1, -1, *[1] * dims)
    return gain.view(shape), start.view(shape)
