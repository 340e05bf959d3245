"""Layers of configuration: plain mappings laid over each other, and `--set` on top. Knows no component."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from im2im_core.errors import ConfigError

Layer = Mapping[str, Any]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which `1e-3` is a number, as everywhere else."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+0123456789.")
)


def parse_yaml(text: str) -> Any:
    """Plain types from YAML text; never builds an object."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration file.

    Raises:
        ConfigError: missing, unreadable or not a mapping.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read configuration '{path}': {error.strerror}", "check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"'{path}' does not hold sections of settings", "see im2im init for the form")
    return content


def overlay(lower: Layer, upper: Layer) -> dict[str, Any]:
    """`upper` over `lower`.

    Mappings are joined key by key, lists and values are replaced. When `upper` names another component in a section,
    what `lower` set there is dropped: it belonged to the other component.
    """
    result = dict(lower)
    for key, value in upper.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            renamed = "name" in value and "name" in old and value["name"] != old["name"]
            result[key] = dict(value) if renamed else overlay(old, value)
        else:
            result[key] = dict(value) if isinstance(value, Mapping) else value
    return result


def parse_assignment(text: str) -> tuple[tuple[str, ...], Any]:
    """'trainer.max_epochs=50' -> (("trainer", "max_epochs"), 50). The value is YAML.

    Raises:
        ConfigError: no '=', or the value is not YAML.
    """
    path, equals, value = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise ConfigError(f"'--set {text}' is not of the form a.b=value", "for instance --set trainer.max_epochs=50")
    try:
        return keys, parse_yaml(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value of '--set {text}' is not valid YAML") from error


def assign(config: dict[str, Any], assignments: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """Lay `--set` values over a configuration. Names come first, so that settings meet the component they are for."""
    ordered = sorted(assignments, key=lambda item: item[0][-1] != "name")
    for keys, value in ordered:
        if any(key.isdigit() for key in keys):
            config = _assign_in_list(config, keys, value)
            continue
        layer: Any = value
        for key in reversed(keys):
            layer = {key: layer}
        config = overlay(config, layer)
    return config


def _assign_in_list(config: dict[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Set one key inside an item of a list: `preprocessing.0.low=2`."""
    section, index, *rest = keys
    items = config.get(section)
    if not isinstance(items, list) or not index.isdigit() or int(index) >= len(items):
        count = len(items) if isinstance(items, list) else 0
        raise ConfigError(f"'{'.'.join(keys)}': {section} has {count} items, there is no item {index}")
    changed = list(items)
    item = {"name": items[int(index)]} if isinstance(items[int(index)], str) else dict(items[int(index)])
    layer: Any = value
    for key in reversed(rest):
        layer = {key: layer}
    changed[int(index)] = overlay(item, layer) if rest else value
    return {**config, section: changed}
