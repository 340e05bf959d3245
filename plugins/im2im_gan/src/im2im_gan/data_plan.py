"""What the models find in the data where the user said nothing. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from im2im_core import ConfigError, DataFacts, DataSurvey
from im2im_core.scaling import plan_target_range

PATCH: Mapping[int, list[int]] = {2: [128, 128], 3: [16, 64, 64]}


def plan_pix2pix(run: Any, facts: DataFacts, survey: Callable[[], DataSurvey]) -> Mapping[str, Any]:
    """Range of the targets, and patch size."""
    return {"model": _targets(run, facts, survey), **_common(run, facts)}


def plan_cyclegan(run: Any, facts: DataFacts, survey: Callable[[], DataSurvey]) -> Mapping[str, Any]:
    """As for pix2pix; range of the images, and whether there can be an identity loss.

    Raises:
        ConfigError: an identity loss is asked for between images of different channels.
    """
    config = run.model.config
    if config.direction != "a-to-b":
        raise ConfigError(
            f"model.direction is '{config.direction}', but training learns both ways at once",
            "leave it out here; im2im predict has --direction",
        )
    found = dict(_targets(run, facts, survey))
    if config.image_range is None:
        scaled = bool(run.preprocessing)
        found["image_range"] = survey().image_range if scaled else [[0.0, 1.0]] * facts.in_channels
    if facts.in_channels == facts.target_channels:
        if config.identity_weight is None:
            found["identity_weight"] = config.cycle_weight / 2
    elif config.identity_weight is None:
        found["identity_weight"] = 0.0
    elif config.identity_weight > 0:
        raise ConfigError(
            f"model.identity_weight is '{config.identity_weight}', but images have {facts.in_channels} channel(s) and "
            f"targets {facts.target_channels}: neither can be left alone as the other",
            "set model.identity_weight=0",
        )
    return {"model": found, **_common(run, facts)}


def _targets(run: Any, facts: DataFacts, survey: Callable[[], DataSurvey]) -> Mapping[str, Any]:
    if run.model.config.task != "semantic-segmentation":
        return plan_target_range(run, facts, survey)
    if facts.target_channels > 1:
        raise ConfigError(
            f"the targets have {facts.target_channels} channels; masks for an adversarial model have one",
            "train with model 'fcn', or with masks of one class",
        )
    return {"classes": 1}


def _common(run: Any, facts: DataFacts) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    if run.task == "semantic-segmentation":
        # Foreground is foreground, whatever number an object or a mask has in the target.
        found["metrics"] = [{"name": "dice", "foreground": True}]
    if run.dataset.config.patch_size is None and "dataset.patch_size" not in run.given:
        found["dataset"] = {"patch_size": PATCH[facts.spatial_dims]}
    return found
