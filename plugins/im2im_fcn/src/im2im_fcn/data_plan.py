"""What the models find in the data where the user said nothing. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from im2im_core import ConfigError, DataFacts, DataSurvey
from im2im_core.scaling import plan_target_range

MOST_CLASSES = 32
PATCH: Mapping[int, list[int]] = {2: [128, 128], 3: [16, 64, 64]}


def plan_model(run: Any, facts: DataFacts, survey: Callable[[], DataSurvey]) -> Mapping[str, Any]:
    """Patch size, and the number of classes or the range of the targets.

    Raises:
        ConfigError: the targets are no class maps.
    """
    found: dict[str, Any] = {"model": _targets(run, facts, survey)}
    ignored = ignored_numbers(run)
    dice: dict[str, Any] = {"ignore_index": max(ignored)} if ignored else {}
    if found["model"].get("classes", run.model.config.classes) == 1:
        # One output knows foreground only, whatever number an object or a mask has in the target.
        dice["foreground"] = True
    if dice:
        found["metrics"] = [{"name": "dice", **dice}]
    if run.dataset.config.patch_size is None and "dataset.patch_size" not in run.given:
        return {**found, "dataset": {"patch_size": PATCH[facts.spatial_dims]}}
    return found


def _targets(run: Any, facts: DataFacts, survey: Callable[[], DataSurvey]) -> Mapping[str, Any]:
    config = run.model.config
    if config.task == "semantic-segmentation":
        if config.classes is not None:
            return {}
        if facts.target_channels > 1:
            return {"classes": facts.target_channels}
        ignored = ignored_numbers(run)
        known = survey()
        return {"classes": count_classes(replace(known, classes=tuple(n for n in known.classes if n not in ignored)))}
    residual = getattr(config, "residual", False)
    if residual and run.preprocessing:
        raise ConfigError(
            "model.residual: the image must stay in the target's units",
            "add --set preprocessing=[] or model.residual=false",
        )
    if residual and facts.in_channels != facts.target_channels:
        raise ConfigError(
            f"model.residual: an image of '{facts.in_channels}' channels cannot be added to a target of "
            f"'{facts.target_channels}'",
            "add --set model.residual=false",
        )
    return plan_target_range(run, facts, survey)


def ignored_numbers(run: Any) -> set[int]:
    """Numbers in the targets that stand for no class: the loss, or a part of it, leaves them out."""
    found = [getattr(choice.config, "ignore_index", None) for choice in (run.loss, *run.loss.parts)]
    return {number for number in found if number is not None}


def count_classes(survey: DataSurvey) -> int:
    """1 for a mask, whatever number its foreground has; else one more than the highest class.

    Raises:
        ConfigError: the numbers are no classes.
    """
    found = survey.classes
    if not found:
        raise ConfigError(
            "the targets are no class maps: they hold fractions", "store classes as whole numbers, or set model.classes"
        )
    if len(found) <= 2 and found[0] == 0:
        return 1
    if found[0] < 0 or found[-1] >= MOST_CLASSES:
        shown = ", ".join(str(number) for number in found[:4])
        raise ConfigError(
            f"the targets hold {len(found)} numbers up to '{found[-1]}' ({shown}, ...), which look like objects and "
            "not like classes",
            "set model.classes=1 to segment all that is above 0, or number the classes from 0",
        )
    return found[-1] + 1
