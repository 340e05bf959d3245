"""`im2im init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from im2im_core.cli import options

if TYPE_CHECKING:
    from im2im_core.config import Choice, RunConfig

PLACEHOLDER = "path/to/your/images"


def init(
    model: options.Model = None,
    preset: options.PresetName = None,
    data: options.Data = None,
    sets: options.Sets = None,
    out: Annotated[Path, typer.Option("--out", help="File to write; never overwritten.")] = Path("im2im.yaml"),
) -> None:
    """Write a commented YAML file with all settings of a model or preset."""
    from im2im_core.cli.console import console
    from im2im_core.cli.train import flag_layer, resolve_settings
    from im2im_core.errors import ConfigError, OutputError
    from im2im_core.files import write_text
    from im2im_core.registry import Registry

    if out.exists():
        raise OutputError(f"'{out}' exists already", "choose another name with --out")
    flags = flag_layer(model=model, data=data)
    registry = Registry.discover()
    try:
        settings = resolve_settings(registry, preset=preset, config=None, flags=flags, sets=sets)
    except ConfigError as error:
        if data:
            raise
        # The data are the one thing that every model needs to be told, and may be filled in later.
        flags = flag_layer(model=model, data=PLACEHOLDER)
        try:
            settings = resolve_settings(registry, preset=preset, config=None, flags=flags, sets=sets)
        except ConfigError as other:
            raise other if "dataset" not in other.message else error from None
    write_text(out, commented_yaml(settings))
    console().print(f"wrote {out}; train with: im2im train --config {out}", highlight=False)


def commented_yaml(settings: RunConfig) -> str:
    """The resolved configuration with the meaning of every setting beside it."""
    lines = ["# Settings of a run; im2im train --config THIS_FILE", f"seed: {settings.seed}"]
    for section, value in settings.to_dict().items():
        if section == "seed":
            continue
        choices = getattr(settings, section)
        if value is None:
            lines += ["", f"{section}: null"]
        elif isinstance(value, list):
            lines += ["", f"{section}:" + ("" if value else " []")]
            for choice in choices:
                lines += _block(choice, "  - ", "    ")
        else:
            lines += ["", f"{section}:  # {choices.component.summary}", *_block(choices, "  ", "  ")]
    return "\n".join(lines) + "\n"


def _block(choice: Choice, first: str, rest: str) -> list[str]:
    lines = [f"{first}name: {choice.name}"]
    fields = choice.component.config.model_fields
    for key, value in choice.settings().items():
        if key == "name":
            continue
        text = f"{rest}{key}: {_value(value)}"
        meaning = " ".join((fields[key].description or "").split())
        lines.append(f"{text}  # {meaning}" if meaning else text)
    return lines


def _value(value: Any) -> str:
    from im2im_core.layers import dump_yaml

    text = dump_yaml(value, flow=True, width=10_000).strip()
    return str(text.removesuffix("...").strip())
