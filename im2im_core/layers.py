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
    """Safe YAML in which `1e-3` is a number, as everywhere else, and `10:30:00` and `2024-01-31` are text."""


class _Dumper(yaml.SafeDumper):
    """Puts quotes around text that `_Loader` would take for a number."""


_NUMBERS = {
    "int": (r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    "float": (
        r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(inf|Inf|INF))"
        r"|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}
_TEXT = {f"tag:yaml.org,2002:{tag}" for tag in ("int", "float", "timestamp")}
for _kind in (_Loader, _Dumper):
    _kind.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag not in _TEXT]
        for first, rules in _kind.yaml_implicit_resolvers.items()
    }
    for _tag, (_pattern, _first) in _NUMBERS.items():
        _kind.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))


def parse_yaml(text: str) -> Any:
    """Plain types from YAML text; never builds an object."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def dump_yaml(content: Any, *, flow: bool | None = None, width: int = 100) -> str:
    """YAML text from plain types, such that `parse_yaml` gives them back.

    Args:
        content: what to write.
        flow: everything in braces and brackets; None: the innermost collections only.
        width: characters per line.
    """
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=width)
    return str(text)


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration file.

    Raises:
        ConfigError: missing, unreadable or not a mapping.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read configuration '{path}': {error.strerror}", "check the path") from error
    except (yaml.YAMLError, ValueError) as error:
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
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"the value of '--set {text}' is not valid YAML") from error


def assign(config: dict[str, Any], assignments: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """Lay `--set` values over a configuration. Names come first, so that settings meet the component they are for."""
    ordered = sorted(assignments, key=lambda item: item[0][-1] != "name")
    for keys, value in ordered:
        config = _assign(config, keys, value, ())
    return config


def _assign(node: Any, keys: tuple[str, ...], value: Any, above: tuple[str, ...]) -> Any:
    """`value` laid over what `keys` lead to inside `node`; a number is an index, as in `preprocessing.0.low`."""
    if not keys:
        return overlay({"": node}, {"": value})[""]
    key, *rest = keys
    path = (*above, key)
    if key.isdigit() and above and not isinstance(node, Mapping):
        items = list(node) if isinstance(node, list | tuple) else []
        if int(key) >= len(items):
            where = ".".join(above)
            raise ConfigError(f"'{'.'.join((*path, *rest))}': {where} has {len(items)} items, there is no item {key}")
        item = {"name": items[int(key)]} if rest and isinstance(items[int(key)], str) else items[int(key)]
        items[int(key)] = _assign(item, tuple(rest), value, path)
        return items
    known = node if isinstance(node, Mapping) else {}
    if key == "name" and not rest and value != known.get("name", value):
        return {"name": value}  # settings of the component that was named before are no settings of this one
    return {**known, key: _assign(known.get(key), tuple(rest), value, path)}
