"""What is wrong with the settings of a component, in words and with the path that a user would type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(path: str, config: type[BaseModel], settings: Mapping[str, Any], error: ValidationError) -> list[str]:
    """One line per wrong setting.

    Args:
        path: where the settings stand in the configuration, such as "trainer" or "preprocessing.0".
        config: the model that refused them.
        settings: what was given.
        error: what pydantic says about it.
    """
    lines: dict[str, list[str]] = {}
    for problem in error.errors():
        inside = _path_inside(settings, problem["loc"], missing=problem["type"] == "missing")
        known = config.model_fields if len(inside) == 1 else set(_nested_names(config))
        words = lines.setdefault(".".join([path, *inside]), [])
        text = _in_words(problem, known)
        # A setting of several possible types has one problem per type, which are alternatives.
        if text not in words:
            words.append(text)
    return [f"{where}: {' or '.join(words)}{_got(settings, where, path, words)}" for where, words in lines.items()]


def suggest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' where something known looks like it, else nothing."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _path_inside(settings: Any, location: tuple[int | str, ...], *, missing: bool) -> list[str]:
    """The location without the names that pydantic gives to the alternatives of a type."""
    found = []
    for index, part in enumerate(location):
        is_key = isinstance(settings, Mapping) and part in settings
        is_item = isinstance(settings, list | tuple) and isinstance(part, int) and part < len(settings)
        if is_key or is_item:
            found.append(str(part))
            settings = settings[part]
        elif missing and index == len(location) - 1:
            found.append(str(part))
    return found


def _in_words(problem: Mapping[str, Any], known: Iterable[str]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown setting{suggest(str(problem['loc'][-1]), known)}"
    if kind == "missing":
        return "this setting is needed"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        given = context.get("tag")
        what = f"'{given}' is unknown" if given else f"{context['discriminator']} is missing"
        tags = [tag.strip(" '") for tag in context.get("expected_tags", "").split(",")]
        choices = f"; choose from {', '.join(tags)}" if any(tags) else ""
        return what + (suggest(str(given), tags) or choices)
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _got(settings: Any, where: str, path: str, words: list[str]) -> str:
    """The offending value, unless it is a whole group of settings or the words name it already."""
    for part in where[len(path) + 1 :].split("."):
        if isinstance(settings, Mapping):
            settings = next((value for key, value in settings.items() if str(key) == part), {})
        elif isinstance(settings, list | tuple):
            settings = settings[int(part)]
    if isinstance(settings, Mapping) or any(word.startswith("unknown setting") for word in words):
        return ""
    return f" (got '{settings}')"


def _nested_names(annotation: Any) -> Iterator[str]:
    """Names of all settings inside the settings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield name
            yield from _nested_names(field.annotation)
    for part in get_args(annotation):
        yield from _nested_names(part)
