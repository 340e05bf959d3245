"""From a validated configuration to objects, by calling factories. The first module where torch may load."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from im2im_core.config import Choice, RunConfig
from im2im_core.interfaces import (
    DataFacts,
    DiscriminatorBuilder,
    ModelTrainer,
    NetworkBuilder,
    NumpyArray,
    PostprocessArray,
    ReadImage,
    Sample,
    ScoreArrays,
    ScoreSets,
)

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule
    from torch import nn

Step = Callable[[Sample], Sample]


def call_factory(choice: Choice, **available: Any) -> Any:
    """Build a component. A factory receives those of the available named arguments that its signature names."""
    parameters = inspect.signature(choice.component.factory).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return choice.component.factory(choice.config, **available)
    wanted = {parameter.name for parameter in parameters}
    return choice.component.factory(choice.config, **{key: available[key] for key in available if key in wanted})


def build_steps(choices: Iterable[Choice], spatial_dims: int) -> list[Step]:
    """Transforms in their order."""
    return [call_factory(choice, spatial_dims=spatial_dims) for choice in choices]


class Compose:
    """Transforms one after the other. A class, so that data-loading workers can be sent a copy."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def __call__(self, sample: Sample) -> Sample:
        """The sample after all steps."""
        for step in self.steps:
            sample = step(sample)
        return sample


def build_data(
    config: RunConfig, facts: DataFacts, load: ReadImage, cache_dir: Path, fingerprint: str
) -> LightningDataModule:
    """The data module, with preprocessing and augmentation handed to it."""
    data: LightningDataModule = call_factory(
        config.dataset,
        load=load,
        preprocessing=Compose(build_steps(config.preprocessing, facts.spatial_dims)),
        augmentation=Compose(build_steps(config.augmentation, facts.spatial_dims)),
        spatial_dims=facts.spatial_dims,
        seed=config.seed,
        cache_dir=cache_dir,
        fingerprint=fingerprint,
        task=config.task,
    )
    return data


def build_network(config: RunConfig, spatial_dims: int) -> NetworkBuilder:
    """`network(in_channels, out_channels)`, since the model knows how many outputs it needs."""

    def network(in_channels: int, out_channels: int) -> nn.Module:
        built: nn.Module = call_factory(
            config.network,
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            out_channels=out_channels,
            model=config.model.config,
        )
        return built

    return network


def build_discriminator(config: RunConfig, spatial_dims: int) -> DiscriminatorBuilder:
    """`discriminator(in_channels)`, since the model knows what it shows and how many it needs."""

    def discriminator(in_channels: int) -> nn.Module:
        assert config.discriminator is not None  # else such a model does not validate
        built: nn.Module = call_factory(config.discriminator, spatial_dims=spatial_dims, in_channels=in_channels)
        return built

    return discriminator


def build_loss(choice: Choice, **available: Any) -> nn.Module:
    """A loss, with the losses that it is made of."""
    parts = [build_loss(part, **available) for part in choice.parts]
    loss: nn.Module = call_factory(choice, parts=parts, **available)
    return loss


def build_model(
    config: RunConfig, *, spatial_dims: int, in_channels: int, target_channels: int, training: bool
) -> LightningModule:
    """The model; without loss, discriminator, optimizer and scheduler when it is for prediction."""
    loss = optimizer = scheduler = None
    if training:
        loss = build_loss(config.loss, spatial_dims=spatial_dims, model=config.model.config)
        optimizer = call_factory(config.optimizer)
        scheduler = call_factory(config.scheduler) if config.scheduler else None
    opponent: dict[str, Any] = {}
    if config.model.component.adversarial:
        opponent = {"discriminator": build_discriminator(config, spatial_dims) if training else None}
    model: LightningModule = call_factory(
        config.model,
        **opponent,
        network=build_network(config, spatial_dims),
        loss=loss,
        optimizer=optimizer,
        scheduler=scheduler,
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        target_channels=target_channels,
    )
    return model


def build_trainer(config: RunConfig) -> ModelTrainer:
    """The trainer."""
    trainer: ModelTrainer = call_factory(config.trainer)
    return trainer


class Postprocessing:
    """Post-processors in their order, from a prediction (K, [Z], Y, X) to the result.

    Attributes:
        halo: pixels around a block that they look at, in all; None: one of them needs the whole image.
        labels: the result are objects, which have to be joined where blocks meet.
    """

    def __init__(self, steps: Sequence[PostprocessArray], halo: int | None, labels: bool) -> None:
        self.steps = tuple(steps)
        self.halo = halo
        self.labels = labels

    def __call__(self, prediction: NumpyArray) -> NumpyArray:
        """The result."""
        for step in self.steps:
            prediction = step(prediction)
        return prediction

    def with_scores(self, prediction: NumpyArray) -> tuple[NumpyArray, NumpyArray | None]:
        """The result, and a score of each label from 1 on where the last step has a method `objects`."""
        objects = getattr(self.steps[-1], "objects", None) if self.steps else None
        if objects is None:
            return self(prediction), None
        for step in self.steps[:-1]:
            prediction = step(prediction)
        labels, scores = objects(prediction)
        return labels, scores


def build_postprocessing(
    config: RunConfig, spatial_dims: int, pixel_size: Mapping[str, float] | None = None
) -> Postprocessing:
    """Post-processors in their order.

    Args:
        config: what is chosen.
        spatial_dims: 2 or 3.
        pixel_size: micrometre per axis letter, for sizes that are given in micrometres.
    """
    available = {"spatial_dims": spatial_dims, "model": config.model.config, "pixel_size": pixel_size or {}}
    steps = [call_factory(choice, **available) for choice in config.postprocessing]
    halos = [choice.component.halo(choice.config) for choice in config.postprocessing]
    labels = any(choice.component.merges == "labels" for choice in config.postprocessing)
    return Postprocessing(steps, None if None in halos else sum(halos), labels)


def build_metrics(choices: Iterable[Choice]) -> dict[str, ScoreArrays]:
    """Metrics by name."""
    return {choice.name: call_factory(choice) for choice in choices}


def build_set_metrics(choices: Iterable[Choice]) -> dict[str, ScoreSets]:
    """Metrics of whole sets by name."""
    return {choice.name: call_factory(choice) for choice in choices}


def build_validation(
    config: RunConfig, spatial_dims: int, pixel_size: Mapping[str, float] | None = None
) -> Callable[[NumpyArray, NumpyArray], dict[str, float]]:
    """Figures of one validation subject: the result that a user would get against the target."""
    postprocess = build_postprocessing(config, spatial_dims, pixel_size)
    metrics = build_metrics(config.metrics)

    def validate(prediction: NumpyArray, target: NumpyArray) -> dict[str, float]:
        result = postprocess(prediction)
        if result.ndim < target.ndim:
            target = target[0]
        return {key: value for metric in metrics.values() for key, value in metric(result, target).items()}

    return validate


def monitored(config: RunConfig) -> tuple[str, bool] | None:
    """Which validation figure decides on the best epoch, and whether higher is better; None: the validation loss."""
    for choice in config.metrics:
        if choice.component.primary:
            return f"val_{choice.component.primary}", choice.component.higher_is_better
    return None
