"""The hooks. All have one shape: no arguments, an iterable of declarations."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from im2im_core.components import (
    Dataset,
    Discriminator,
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
)

API_VERSION = 1
PROJECT = "im2im"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpecs:
    """What a plug-in module may implement. It also states `IM2IM_API = 1`."""

    @hookspec
    def im2im_readers(self) -> Iterable[Reader]:  # type: ignore[empty-body]
        """Formats that can be opened."""

    @hookspec
    def im2im_writers(self) -> Iterable[Writer]:  # type: ignore[empty-body]
        """Formats that can be written."""

    @hookspec
    def im2im_datasets(self) -> Iterable[Dataset]:  # type: ignore[empty-body]
        """Ways of making batches from files."""

    @hookspec
    def im2im_transforms(self) -> Iterable[Transform]:  # type: ignore[empty-body]
        """Preprocessing and augmentation."""

    @hookspec
    def im2im_networks(self) -> Iterable[Network]:  # type: ignore[empty-body]
        """Architectures."""

    @hookspec
    def im2im_discriminators(self) -> Iterable[Discriminator]:  # type: ignore[empty-body]
        """Judges of generated images."""

    @hookspec
    def im2im_models(self) -> Iterable[Model]:  # type: ignore[empty-body]
        """Training methods around one or more networks."""

    @hookspec
    def im2im_losses(self) -> Iterable[Loss]:  # type: ignore[empty-body]
        """Losses."""

    @hookspec
    def im2im_trainers(self) -> Iterable[Trainer]:  # type: ignore[empty-body]
        """Ways of running the training."""

    @hookspec
    def im2im_postprocessors(self) -> Iterable[Postprocessor]:  # type: ignore[empty-body]
        """From the network's prediction to the result."""

    @hookspec
    def im2im_metrics(self) -> Iterable[Metric]:  # type: ignore[empty-body]
        """Figures of merit."""

    @hookspec
    def im2im_presets(self) -> Iterable[Preset]:  # type: ignore[empty-body]
        """Named partial run configurations."""
