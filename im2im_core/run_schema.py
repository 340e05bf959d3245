"""JSON Schema of a run's YAML file, for the plug-ins that are installed: editors complete and check with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from im2im_core.borrowed import borrowed_names
from im2im_core.config import OPTIONAL, find_component
from im2im_core.registry import Registry
from im2im_core.run_config import LISTS, SINGLE

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def run_schema(registry: Registry) -> dict[str, Any]:
    """What `im2im train --config` takes; sections and settings may be left out, since other layers fill them in."""
    definitions: dict[str, Any] = {}
    for kind in sorted({*SINGLE.values(), *LISTS.values()}):
        definitions[kind] = _choice(registry, kind, definitions)
    properties: dict[str, Any] = {
        "seed": {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**32, "description": "of all that is random"}
    }
    for section, kind in SINGLE.items():
        reference = {"$ref": f"#/$defs/{kind}"}
        properties[section] = {"anyOf": [reference, {"type": "null"}]} if section in OPTIONAL else reference
    for section, kind in LISTS.items():
        properties[section] = {"type": "array", "items": {"$ref": f"#/$defs/{kind}"}}
    return {
        "$schema": DIALECT,
        "title": "Settings of an im2im run",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def names_of(registry: Registry, kind: str) -> Iterator[str]:
    """Names by which a component of a kind can be chosen, also with its plug-in in front."""
    for entry in registry.components(kind):
        yield entry.component.name
        yield entry.qualified
    yield from borrowed_names(kind)


def _choice(registry: Registry, kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A name, or a name with settings; which settings there are depends on the name."""
    names = list(dict.fromkeys(names_of(registry, kind)))
    # Without a name the settings are those of a component that another layer chooses.
    cases = []
    for name in names:
        try:
            component = find_component(registry, kind, name).component
        except Exception:
            continue
        key = f"{kind}:{component.name}" if "/" not in name else f"{kind}:{name.replace('/', ':')}"
        if key not in definitions:
            definitions[key] = _settings(component, key, definitions)
        named = {"properties": {"name": {"const": name}}, "required": ["name"]}
        cases.append({"if": named, "then": {"$ref": f"#/$defs/{key}"}})
    settings = {"type": "object", "properties": {"name": {"enum": names}}, "allOf": cases}
    return {"anyOf": [{"enum": names}, settings]}


def _settings(component: Any, key: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Settings of one component, all of which may be left out."""
    schema = component.config.model_json_schema(ref_template=f"#/$defs/{key}:{{model}}")
    for name, inner in schema.pop("$defs", {}).items():
        definitions[f"{key}:{name}"] = inner
    properties = {"name": {"type": "string", "description": component.summary}, **schema.get("properties", {})}
    if getattr(component, "composite", False):
        # Each part has the settings of its own loss beside those of the sum.
        properties["parts"] = {"type": "array", "items": {"type": ["object", "string"]}}
    extra = schema.get("additionalProperties", True)
    return {"type": "object", "properties": properties, "additionalProperties": extra}
