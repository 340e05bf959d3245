"""From layers of settings to a validated run configuration. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from im2im_core.borrowed import BORROWED, borrowed_component
from im2im_core.components import Model, Preset
from im2im_core.errors import ComponentError, ConfigError
from im2im_core.layers import Layer, assign, overlay, parse_assignment
from im2im_core.problems import explain, suggest
from im2im_core.registry import Registered, Registry
from im2im_core.run_config import LISTS, SINGLE, Choice, RunConfig, task_of

__all__ = [
    "LISTS",
    "SINGLE",
    "Choice",
    "RunConfig",
    "check_dimensions",
    "find_component",
    "merge",
    "resolve",
    "validate",
]

OPTIONAL = {"reader", "scheduler", "discriminator"}
CORE_DEFAULTS: Layer = {
    "seed": 0,
    "dataset": {"name": "paired"},
    "preprocessing": [{"name": "normalize-percentile"}],
    "augmentation": [],
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "trainer": {"name": "lightning"},
    "postprocessing": [],
    "metrics": [],
}


def resolve(
    registry: Registry,
    *,
    preset: str | None = None,
    file: Layer | None = None,
    flags: Layer | None = None,
    assignments: Iterable[str] = (),
) -> RunConfig:
    """Lay the layers over each other and validate the result.

    defaults of core < Model.defaults < preset < file < flags < assignments (`a.b=value`).

    Raises:
        ConfigError: lists every problem at once, each with its path.
    """
    assignments = tuple(assignments)
    merged = merge(registry, preset=preset, file=file, flags=flags, assignments=assignments)
    declared: Any = registry.get("preset", preset).component if preset else None
    named = declared.settings if declared else {}
    layers = [_normal(layer) for layer in (named, file or {}, flags or {})]
    given = {
        f"{section}.{key}"
        for layer in layers
        for section, value in layer.items()
        for key, setting in (value.items() if isinstance(value, Mapping) else [("", value)])
        if setting is not None  # as a file has it that states every setting: left open
    }
    given |= {".".join(parse_assignment(text)[0]) for text in assignments}
    return replace(validate(registry, merged), given=frozenset(given))


def merge(
    registry: Registry,
    *,
    preset: str | None = None,
    file: Layer | None = None,
    flags: Layer | None = None,
    assignments: Iterable[str] = (),
) -> dict[str, Any]:
    """The layers laid over each other, not yet validated."""
    sets = [parse_assignment(text) for text in assignments]
    upper: dict[str, Any] = {}
    if preset:
        declared = registry.get("preset", preset).component
        assert isinstance(declared, Preset)
        upper = overlay(upper, _normal(declared.settings))
    for layer in (file or {}, flags or {}):
        upper = overlay(upper, _normal(layer))
    # Which model it is decides the lowest layers, so it is looked up before anything is laid over them.
    plain = [item for item in sets if not any(key.isdigit() for key in item[0])]
    name = _name_of(assign(dict(upper), plain).get("model"))
    if name is None:
        raise ConfigError("no model was chosen", "add --model NAME; im2im list models shows them")
    model = registry.get("model", name).component
    assert isinstance(model, Model)
    named = [*(file or {}), *(flags or {}), *(keys[0] for keys, _ in sets)]
    if not model.adversarial and "discriminator" not in named:
        upper.pop("discriminator", None)  # of a preset for another model
    lower = overlay(overlay(CORE_DEFAULTS, {"model": {"name": name}}), _normal(model.defaults))
    if model.task_defaults:
        chosen = assign(dict(upper), plain).get("model")
        task = chosen.get("task") if isinstance(chosen, Mapping) else None
        lower = overlay(lower, _normal(model.task_defaults.get(str(task or model.task), {})))
    return assign(overlay(lower, upper), _normal_sets(sets))


def validate(registry: Registry, merged: Mapping[str, Any], *, training: bool = True) -> RunConfig:
    """Turn names into components and settings into validated configs, collecting every problem.

    Args:
        registry: the installed components.
        merged: settings by section.
        training: a model that is trained against a discriminator needs one; not so for prediction.

    Raises:
        ConfigError: lists every problem.
    """
    problems: list[str] = []
    sections: dict[str, Any] = {}
    known = {"seed", *SINGLE, *LISTS}
    for key in merged:
        if key not in known:
            problems.append(f"{key}: unknown section{suggest(str(key), known)}")
    seed = merged.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        problems.append(f"seed: a whole number from 0 to 4294967295 is needed (got '{seed}')")
    for section, kind in SINGLE.items():
        value = merged.get(section)
        if value is None or (section == "reader" and not value):
            if section not in OPTIONAL:
                problems.append(f"{section}: nothing chosen; add --set {section}.name=NAME (im2im list {kind})")
            continue
        choice = _choose(registry, section, kind, value, problems)
        if choice:
            sections[section] = choice
    for section, kind in LISTS.items():
        items = merged.get(section) or []
        if not isinstance(items, list | tuple):
            problems.append(f"{section}: a list is needed (got '{items}')")
            continue
        chosen = [_choose(registry, f"{section}.{i}", kind, item, problems) for i, item in enumerate(items)]
        sections[section] = tuple(choice for choice in chosen if choice)
    if not problems:
        problems = _mismatches(sections)
        if training and sections["model"].component.adversarial and "discriminator" not in sections:
            problems.append("discriminator: nothing chosen; add --discriminator NAME (im2im list discriminators)")
    if problems:
        raise ConfigError("\n".join(problems), "im2im show KIND NAME lists the settings of a component")
    return RunConfig(seed=seed, **sections)


def find_component(registry: Registry, kind: str, name: str) -> Registered:
    """A component of a plug-in, or one borrowed by its own name from MONAI's transforms or torch.optim.

    Raises:
        ComponentError: unknown or ambiguous name.
    """
    component = borrowed_component(kind, name)
    if component is not None:
        return Registered(BORROWED, component)
    return registry.get(kind, name)


def _choose(registry: Registry, path: str, kind: str, value: Any, problems: list[str]) -> Choice | None:
    name = _name_of(value)
    if name is None:
        problems.append(f"{path}: 'name' is missing; see im2im list {kind}")
        return None
    try:
        found = find_component(registry, kind, name)
    except ComponentError as error:
        problems.append(f"{path}: {error.message}; {error.hint}")
        return None
    settings = {key: item for key, item in value.items() if key != "name"} if isinstance(value, Mapping) else {}
    parts: tuple[Choice, ...] = ()
    if getattr(found.component, "composite", False):
        settings, parts = _choose_parts(registry, path, found.component, settings, problems)
    try:
        config = found.component.config.model_validate(settings)
    except ValidationError as error:
        problems.extend(explain(path, found.component.config, settings, error))
        return None
    return Choice(name, found.plugin, found.component, config, parts)


def _choose_parts(
    registry: Registry, path: str, component: Any, settings: Mapping[str, Any], problems: list[str]
) -> tuple[dict[str, Any], tuple[Choice, ...]]:
    """Of each part of a composite loss: what the composite itself reads, and the loss with its own settings."""
    items = settings.get("parts")
    if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping | str) for item in items):
        return dict(settings), ()  # its validation says what is wrong
    own = set(component.config.part_settings)
    kept, chosen = [], []
    for index, item in enumerate(items):
        item = {"name": item} if isinstance(item, str) else dict(item)
        kept.append({key: value for key, value in item.items() if key in own})
        inner = {key: value for key, value in item.items() if key not in own - {"name"}}
        choice = _choose(registry, f"{path}.parts.{index}", "loss", inner, problems)
        if choice:
            chosen.append(choice)
    return {**settings, "parts": kept}, tuple(chosen)


def _mismatches(sections: Mapping[str, Any]) -> list[str]:
    """Components that cannot serve the model's task or dimensions; found before torch is loaded."""
    model: Model = sections["model"].component
    task = task_of(sections["model"])
    problems = []
    users = [(section, sections[section]) for section in ("dataset", "loss")]
    users += [(f"loss.parts.{i}", choice) for i, choice in enumerate(sections["loss"].parts)]
    users += [(f"postprocessing.{i}", choice) for i, choice in enumerate(sections["postprocessing"])]
    users += [(f"metrics.{i}", choice) for i, choice in enumerate(sections["metrics"])]
    for path, choice in users:
        tasks = choice.component.tasks
        # Generators make images, also of masks, and their loss compares images.
        needed = "translation" if model.adversarial and path.startswith("loss") else task
        if tasks and needed not in tasks:
            problems.append(f"{path}: '{choice.name}' serves {', '.join(tasks)}; model '{model.name}' is for {needed}")
    for index, choice in enumerate(sections["metrics"]):
        if choice.component.of_sets:
            problems.append(f"metrics.{index}: '{choice.name}' compares sets of images; leave it to im2im evaluate")
    for section in ("network", "discriminator"):
        choice = sections.get(section)
        if choice and not set(model.spatial_dims) & set(choice.component.spatial_dims):
            problems.append(
                f"{section}: '{choice.name}' works in {_dims(choice.component.spatial_dims)}, "
                f"model '{model.name}' in {_dims(model.spatial_dims)}"
            )
    if "discriminator" in sections and not model.adversarial:
        problems.append(f"discriminator: model '{model.name}' is trained against none; leave the section out")
    for index, choice in enumerate(sections["preprocessing"]):
        if choice.component.random:
            problems.append(f"preprocessing.{index}: '{choice.name}' is random; move it to augmentation")
        if not choice.component.keeps_size:
            problems.append(f"preprocessing.{index}: '{choice.name}' changes the image size; move it to augmentation")
    return problems


def check_dimensions(config: RunConfig, spatial_dims: int, target_channels: int) -> None:
    """Refuse data that the chosen components cannot take; called before torch is loaded.

    Raises:
        ConfigError: with every problem.
    """
    problems = []
    for section in ("model", "network", "discriminator"):
        choice: Choice | None = getattr(config, section)
        if choice is not None and spatial_dims not in choice.component.spatial_dims:
            problems.append(
                f"{section}: '{choice.name}' works in {_dims(choice.component.spatial_dims)}, "
                f"the data are {spatial_dims}D"
            )
    accepted = config.model.component.target_channels
    if accepted and target_channels not in accepted:
        wanted = " or ".join(str(count) for count in accepted)
        problems.append(
            f"model: '{config.model.name}' needs targets of {wanted} channel(s), the data have {target_channels}"
        )
    if problems:
        raise ConfigError("\n".join(problems), "choose another model or other data")


def _dims(dims: Iterable[int]) -> str:
    return " and ".join(f"{dim}D" for dim in dims)


def _name_of(value: Any) -> str | None:
    name = value.get("name") if isinstance(value, Mapping) else value
    return str(name) if name else None


def _normal(layer: Layer) -> dict[str, Any]:
    """`loss: mse` is short for `loss: {name: mse}`."""
    return {key: {"name": value} if key in SINGLE and isinstance(value, str) else value for key, value in layer.items()}


def _normal_sets(sets: Iterable[tuple[tuple[str, ...], Any]]) -> list[tuple[tuple[str, ...], Any]]:
    return [
        ((*keys, "name"), value) if len(keys) == 1 and keys[0] in SINGLE and isinstance(value, str) else (keys, value)
        for keys, value in sets
    ]
