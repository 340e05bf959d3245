"""Which way a model predicts that has learned two."""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from im2im_core.bundle import Bundle
from im2im_core.errors import ConfigError


def in_direction(bundle: Bundle, direction: str) -> Bundle:
    """The bundle of a model that has learned two ways, set to predict one of them.

    Backwards, targets go in as they are in their files, and images come out in the pixel type of theirs.

    Raises:
        ConfigError: the model predicts one way only, or knows no such direction; or targets were preprocessed.
    """
    model = bundle.config.model
    if "direction" not in type(model.config).model_fields:
        raise ConfigError(f"model '{model.name}' predicts one way only", "leave --direction out")
    try:
        turned = type(model.config).model_validate({**model.config.model_dump(), "direction": direction})
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ConfigError(f"direction '{direction}': {reason}", f"see im2im show model {model.name}") from error
    if turned == model.config:
        return bundle
    if bundle.config.changes_target:
        raise ConfigError(
            "preprocessing has changed the targets in training, so they cannot be taken from their files",
            "train with preprocessing of the image alone",
        )
    dataset = bundle.config.dataset
    if bundle.channels:  # of the images, which go in no more
        dataset = replace(dataset, config=dataset.config.model_copy(update={"channels": ()}))
    config = replace(
        bundle.config, dataset=dataset, model=replace(model, config=turned), preprocessing=(), postprocessing=()
    )
    old = bundle.manifest
    manifest = old.model_copy(
        update={
            "task": "translation",
            "in_channels": old.target_channels,
            "target_channels": old.in_channels,
            "channel_names": (),
            "image_dtype": old.target_dtype,
            "target_dtype": old.image_dtype,
        }
    )
    return Bundle(bundle.path, manifest, config)
