"""What a run's data are, and the settings that follow from them. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from im2im_core.config import RunConfig, check_dimensions, validate
from im2im_core.errors import ConfigError
from im2im_core.formats import image_loader
from im2im_core.interfaces import DataFacts, DataSurvey, ReadImage
from im2im_core.layers import overlay
from im2im_core.registry import Registry
from im2im_core.run_config import task_of


def inspect_data(registry: Registry, config: RunConfig) -> DataFacts:
    """What the data are; refuses data that the components cannot take. Loads no torch.

    Raises:
        DataError: nothing usable was found.
        ConfigError: it does not fit the model.
    """
    facts: DataFacts = config.dataset.component.inspect(config.dataset.config, image_loader(registry, config.reader))
    check_dimensions(config, facts.spatial_dims, facts.target_channels)
    task = task_of(config.model)
    if facts.number_targets and task != "regression":
        raise ConfigError(
            f"model: the targets are numbers, one for an image, and '{config.model.name}' is for {task}",
            "add --task regression, or name images as targets",
        )
    return facts


def plan_settings(registry: Registry, config: RunConfig, facts: DataFacts, load: ReadImage) -> RunConfig:
    """Fill in what the user left open and the network or the model finds in the data. Loads no torch.

    Raises:
        ConfigError: the data fit no plan.
    """
    survey = lru_cache(lambda: survey_data(config, load))
    for section in ("network", "model"):
        plan = getattr(config, section).component.plan
        if plan is None:
            continue
        found = plan(config, facts, survey)
        kept = {name: _left_open(config, name, values) for name, values in found.items()}
        kept = {name: values for name, values in kept.items() if values}
        config = replace(validate(registry, overlay(config.to_dict(), kept)), given=config.given)
    check_dimensions(config, facts.spatial_dims, facts.target_channels)
    return config


def _left_open(config: RunConfig, section: str, values: Any) -> Any:
    """What of a planned section the user has not set; that a network was to be planned is no choice of a network."""
    if not isinstance(values, Mapping):
        untouched = not any(path.split(".")[0] == section for path in config.given)
        return values if untouched else _filled([choice.settings() for choice in getattr(config, section)], values)
    settings = getattr(config, section).config
    set_by_user = {key for key in values if f"{section}.{key}" in config.given and key != "name"}
    return {k: v for k, v in values.items() if k not in set_by_user or getattr(settings, k, None) is None}


def _filled(items: list[Any], planned: list[Any]) -> list[Any] | None:
    """A list that the user has set, with planned values where settings are null; None: it is another list."""
    if [item["name"] for item in items] != [item["name"] for item in planned]:
        return None
    return [
        {key: new.get(key) if value is None else value for key, value in item.items()}
        for item, new in zip(items, planned, strict=True)
    ]


def survey_data(config: RunConfig, load: ReadImage) -> DataSurvey:
    """Read the pixels of the training data.

    Raises:
        ConfigError: the data set cannot tell.
    """
    survey = config.dataset.component.survey
    if survey is None:
        raise ConfigError(
            f"dataset '{config.dataset.name}' cannot tell what its pixels are", "write the settings out instead"
        )
    found: DataSurvey = survey(config.dataset.config, load)
    return found
