"""Metrics by name with settings from the command line, `dice.foreground=true`. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from im2im_core.config import Choice
from im2im_core.errors import ComponentError, ConfigError
from im2im_core.layers import assign, parse_assignment
from im2im_core.problems import explain, suggest
from im2im_core.registry import Registered, Registry


def choose_metrics(registry: Registry, names: Iterable[str], assignments: Iterable[str] = ()) -> list[Choice]:
    """Metrics with their settings, defaults where none are given.

    Args:
        registry: installed components.
        names: of the metrics.
        assignments: settings as `metric.setting=value`, the value in YAML.

    Raises:
        ComponentError: unknown metric.
        ConfigError: every wrong setting at once, each with its path.
    """
    found = {name: registry.get("metric", name) for name in names}
    short = {entry.component.name: name for name, entry in found.items()}  # of one chosen as plug-in/name
    sets = [parse_assignment(text) for text in assignments]
    settings: dict[str, Any] = assign({}, [((short.get(keys[0], keys[0]), *keys[1:]), value) for keys, value in sets])
    problems = [_not_chosen(registry, name, found) for name in settings if name not in found]
    choices = []
    for name, entry in found.items():
        given = settings.get(name, {})
        if not isinstance(given, Mapping):
            problems.append(f"{name}: a setting of it is needed, as {name}.SETTING=value (got '{given}')")
            continue
        try:
            config = entry.component.config.model_validate(given)
        except ValidationError as error:
            problems.extend(explain(name, entry.component.config, given, error))
        else:
            choices.append(Choice(name, entry.plugin, entry.component, config))
    if problems:
        raise ConfigError("\n".join(problems), f"im2im show metric {next(iter(found))} lists the settings of a metric")
    return choices


def _not_chosen(registry: Registry, name: str, found: Mapping[str, Registered]) -> str:
    """What is wrong with settings of a metric that is not computed."""
    try:
        registry.get("metric", name)
    except ComponentError as error:
        return f"{name}: unknown metric{suggest(name, found) or f'; {error.hint}'}"
    return f"{name}: not among the metrics that are computed ({', '.join(found)}); add --metric {name}"


def settings_in_words(choices: Iterable[Choice]) -> str:
    """Settings that are not the defaults, as a sentence to stand below the figures; '' where there are none."""
    told = []
    for choice in choices:
        usual, chosen = choice.component.config().model_dump(mode="json"), choice.config.model_dump(mode="json")
        told += [
            f"{choice.name}.{key}={str(value).lower() if isinstance(value, bool) else value}"
            for key, value in chosen.items()
            if value != usual[key]
        ]
    return f" Settings: {', '.join(told)}." if told else ""
