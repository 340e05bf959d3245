"""A plug-in with a component of every kind, for tests that spoil one thing at a time. No test itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_serializer

from im2im_core import (
    ComponentConfig,
    DataError,
    Dataset,
    Discriminator,
    Image,
    Loss,
    Metric,
    Model,
    Network,
    Postprocessor,
    Preset,
    Reader,
    Trainer,
    Transform,
    Writer,
    hookimpl,
    write_beside,
)
from im2im_core.builtin.dataset_config import PairedConfig
from im2im_core.builtin.dataset_declarations import _inspect, _paired

IM2IM_API = 1
KEPT: list[Any] = [field_serializer]
"""What spoiled ones need."""


class Settings(ComponentConfig):
    """Settings."""

    gain: float = Field(default=1.0, description="a factor")


def _network(config, *, spatial_dims, in_channels, out_channels):
    from torch import nn

    convolution = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    return nn.Sequential(
        convolution(in_channels, 4, 3, padding=1), nn.ReLU(), convolution(4, out_channels, 3, padding=1)
    )


def _discriminator(config, *, spatial_dims, in_channels):
    from torch import nn

    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(in_channels, 1, 4, stride=2)

        def forward(self, image):
            logits = self.layer(image)
            return [[logits]]

    return Judge()


def _loss(config):
    from torch import nn

    class Squares(nn.Module):
        def forward(self, prediction, target, costmap=None):
            error = (prediction - target) ** 2
            error = error if costmap is None else error * costmap
            return error.mean()

    return Squares()


def _model(config, *, network, loss, optimizer, in_channels, target_channels):
    import torch
    from pytorch_lightning import LightningModule

    class Plain(LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network(in_channels, target_channels)
            self.loss = loss

        def forward(self, image):
            prediction = self.network(image)
            return prediction

        def training_step(self, batch, index):
            value = self.loss(self(batch["image"]), batch["target"].float(), costmap=batch.get("costmap"))
            self.log("train_loss", value, on_epoch=True, on_step=False)
            return value

        def validation_step(self, batch, index):
            prediction = self(batch["image"])
            self.log("val_loss", self.loss(prediction, batch["target"].float()), batch_size=1)
            return {"prediction": prediction}

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-2)

    return Plain()


class Double:
    """Twice as bright."""

    def __call__(self, sample):
        return {**sample, "image": np.asarray(sample["image"]) * 2}


def _transform(config, *, spatial_dims):
    return Double()


class Threshold:
    """Bright pixels, one object."""

    def __call__(self, prediction):
        found = (prediction[0] > 0.5).astype(np.int32)
        return found


def _postprocessor(config):
    return Threshold()


def _metric(config):
    def score(prediction, target):
        error = float(np.abs(prediction.astype(float) - target).mean())
        return {"error": error}

    return score


def _read(config):
    def read(path: Path) -> Image:
        try:
            with path.open("rb") as file:
                data = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"'{path}' cannot be read: {error}") from error
        return Image(data, "YX")

    return read


class ToyWriter:
    """Arrays."""

    def write(self, path, image):
        with write_beside(path) as beside, beside.open("wb") as file:
            np.save(file, image.compute())

    def create(self, path, like, shape, dtype):
        return ToyFile(self, path, like, np.zeros(shape, dtype))


class ToyFile:
    """Collects regions."""

    def __init__(self, writer, path, like, data):
        self.writer, self.path, self.like, self.data = writer, path, like, data

    def write_region(self, start, data):
        self.data[tuple(slice(s, s + n) for s, n in zip(start, data.shape, strict=True))] = data

    def close(self):
        self.writer.write(self.path, self.like.with_data(self.data))

    def abort(self):
        self.data = None


class Fits:
    """Does nothing."""

    def fit(self, model, data, run_dir, **more):
        """Train."""


def _dataset(config, *, seed, **more):
    data = _paired(config, seed=seed, **more)
    return data


@hookimpl
def im2im_networks():
    yield Network(name="toy", summary="a network", config=Settings, factory=_network)


@hookimpl
def im2im_discriminators():
    yield Discriminator(name="toy", summary="a judge", factory=_discriminator)


@hookimpl
def im2im_losses():
    yield Loss(name="toy", summary="a loss", factory=_loss, tasks=("restoration",))


@hookimpl
def im2im_models():
    defaults = {"network": {"name": "toy"}, "loss": {"name": "toy"}, "preprocessing": []}
    yield Model(name="toy", summary="a model", factory=_model, task="restoration", defaults=defaults)


@hookimpl
def im2im_transforms():
    yield Transform(name="toy", summary="a transform", factory=_transform)


@hookimpl
def im2im_postprocessors():
    yield Postprocessor(name="toy", summary="a post-processor", factory=_postprocessor, merges="labels")


@hookimpl
def im2im_metrics():
    yield Metric(name="toy", summary="a metric", factory=_metric, higher_is_better=False, primary="error")


@hookimpl
def im2im_readers():
    yield Reader(name="toy", summary="a reader", factory=_read, suffixes=(".toy",))


@hookimpl
def im2im_writers():
    yield Writer(name="toy", summary="a writer", factory=lambda config: ToyWriter(), suffixes=(".toy",))


@hookimpl
def im2im_datasets():
    yield Dataset(name="toy", summary="a data set", config=PairedConfig, factory=_dataset, inspect=_inspect)


@hookimpl
def im2im_trainers():
    yield Trainer(name="toy", summary="a trainer", factory=lambda config: Fits())


@hookimpl
def im2im_presets():
    yield Preset(name="toy", summary="a preset", task="restoration", settings={"model": {"name": "toy"}})
