"""`im2im show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from im2im_core.cli.completion import kinds, names_of_typed_kind

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from im2im_core.components import Component
    from im2im_core.image import Image
    from im2im_core.registry import Registry


def show(
    what: Annotated[str, typer.Argument(help="A kind such as model or loss; or a bundle.", autocompletion=kinds)],
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of a component of that kind.", show_default=False, autocompletion=names_of_typed_kind
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--for", help="With 'reader': which readers open this file, and why others do not."),
    ] = None,
) -> None:
    """Show a component with its settings, a bundle, or what readers make of a file."""
    from im2im_core.registry import Registry

    registry = Registry.discover()
    if file is not None:
        from im2im_core.cli.names import kind_of

        if name is not None or kind_of(what) != "reader":
            raise typer.BadParameter("only goes with 'reader' alone: im2im show reader --for FILE", param_hint="--for")
        _show_readers(registry, file)
        return
    if name is None:
        _show_bundle(Path(what))
        return
    from im2im_core.cli.names import kind_of
    from im2im_core.config import find_component

    found = find_component(registry, kind_of(what), name)
    _show_component(found.component, found.plugin)


def _show_readers(registry: Registry, file: Path) -> None:
    from rich.table import Table

    from im2im_core.cli.console import console
    from im2im_core.errors import DataError
    from im2im_core.formats import try_readers

    table = Table("reader", "opens it", "what it finds, or why not", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    opened = False
    for name, found in try_readers(registry, file):
        if isinstance(found, str):
            table.add_row(name, "no", found)
            continue
        table.add_row(name, "also" if opened else "yes", image_text(found))
        opened = True
    console().print(table)
    if not opened:
        raise DataError(f"no installed reader opens '{file}'", "convert it to OME-TIFF, or install a reader for it")


def image_text(image: Image) -> str:
    """Axes with their lengths, pixel type, and what is known of sizes and channels."""
    parts = [" ".join(f"{axis}={length}" for axis, length in image.sizes.items()), image.dtype.name]
    if image.pixel_size:
        known = [axis for axis in "ZYX" if axis in image.pixel_size]
        parts.append(" ".join(f"{axis} {image.pixel_size[axis]:.4g}" for axis in known) + " um")
    if image.channel_names:
        parts.append("channels " + ", ".join(f"'{name}'" for name in image.channel_names))
    return "; ".join(parts)


def _show_component(component: Component, plugin: str) -> None:
    import yaml
    from rich.table import Table

    from im2im_core.cli.console import console

    terminal = console()
    terminal.print(f"{component.name} ({component.kind} of {plugin})", style="bold", highlight=False)
    terminal.print(component.summary, highlight=False)
    facts = {
        "task": getattr(component, "task", None),
        "tasks": ", ".join(getattr(component, "tasks", ()) or ()),
        "dimensions": " and ".join(f"{n}D" for n in getattr(component, "spatial_dims", ())),
        "suffixes": " ".join(getattr(component, "suffixes", ())),
    }
    for label, text in facts.items():
        if text:
            terminal.print(f"{label}: {text}", highlight=False)
    if component.config.model_fields:
        table = Table("setting", "type", "default", "meaning", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for key, field in component.config.model_fields.items():
            table.add_row(key, type_name(field.annotation), default_text(field), field.description or "")
        terminal.print(table)
    for label in ("defaults", "settings"):
        values = getattr(component, label, None)
        if values:
            terminal.print(f"\n{label} of the run:")
            terminal.print(yaml.safe_dump(plain(values), sort_keys=False, default_flow_style=None))


def plain(value: Any) -> Any:
    """Mappings and tuples as dicts and lists, which is what YAML can write."""
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def type_name(annotation: Any) -> str:
    """A type as a user would say it."""
    if get_origin(annotation) is None:
        return (
            "any" if annotation is Any else getattr(annotation, "__name__", str(annotation)).replace("NoneType", "none")
        )
    arguments = [a for a in get_args(annotation) if a is not ...]
    origin = str(get_origin(annotation))
    if "Literal" in origin:
        return " | ".join(str(a) for a in arguments)
    if "Annotated" in origin:
        return type_name(arguments[0])
    if "Union" in origin:
        return " | ".join(dict.fromkeys(type_name(a) for a in arguments))
    inside = ", ".join(type_name(a) for a in arguments)
    return f"{getattr(get_origin(annotation), '__name__', origin)}[{inside}]".replace("tuple[", "list[")


def default_text(field: FieldInfo) -> str:
    """A default as it would stand in YAML."""
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    return "none" if value is None else str(value)


def _show_bundle(path: Path) -> None:
    import json

    from im2im_core.bundle import MANIFEST, find_bundle
    from im2im_core.cli.console import console
    from im2im_core.errors import BundleError

    folder = find_bundle(path)
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        components = [dict(entry) for entry in content.pop("components", ())]
    except (ValueError, TypeError, AttributeError) as error:
        raise BundleError(f"'{folder / MANIFEST}' is damaged: {error}", "copy the bundle again") from error
    terminal = console()
    terminal.print(str(folder), style="bold", highlight=False)
    for key, value in content.items():
        terminal.print(f"{key}: {value}", highlight=False)
    for entry in components:
        provider = f"{entry.get('distribution') or entry.get('plugin')} {entry.get('version', '')}"
        terminal.print(f"  {entry.get('section')}: {entry.get('name')} ({provider.strip()})", highlight=False)
    if (folder / "config.yaml").is_file():
        terminal.print("\n" + (folder / "config.yaml").read_text(encoding="utf-8"), highlight=False)
