"""Writes the pages of the reference that say what the code says: the command line and all components.

Run as: python docs/generate_reference.py
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml

from im2im_core.cli import app
from im2im_core.cli.names import plural
from im2im_core.cli.show import default_text, plain, type_name
from im2im_core.components import KINDS, Component
from im2im_core.registry import Registered, Registry

FOLDER = Path(__file__).parent / "reference"
FIRST_PARTY = ("builtin", "embedseg", "fcn", "gan", "io")
WORDS = {"dataset": "Data sets", "postprocessor": "Post-processors"}


def overview_page(registry: Registry) -> str:
    """All components of the first-party plug-ins, one line each."""
    lines = [
        "# Components",
        "",
        "All that comes with im2im; `im2im list` shows what is installed, and `im2im show KIND NAME` one of them.",
        "MONAI's transforms, torch's optimizers and schedules are used by their own names: `im2im list transforms`.",
    ]
    for kind in KINDS:
        lines += ["", f"## {title(kind)}", "", "| | | plug-in |", "|---|---|---|"]
        for entry in first_party(registry, kind):
            name = entry.component.name
            lines += [f"| [{name}]({plural(kind)}.md#{name}) | {cell(entry.component.summary)} | `{entry.plugin}` |"]
    return "\n".join(lines) + "\n"


def kind_page(registry: Registry, kind: str) -> str:
    """The components of a kind, with their settings."""
    lines = [f"# {title(kind)}"]
    for entry in first_party(registry, kind):
        lines += ["", f"## {entry.component.name}", ""]
        lines += [cell(f"{entry.component.summary} (of `{entry.plugin}`{facts(entry.component)}).")]
        lines += [*settings_table(entry.component), *run_settings(entry.component)]
    return "\n".join(lines) + "\n"


def first_party(registry: Registry, kind: str) -> list[Registered]:
    """Those that come with im2im."""
    return [entry for entry in registry.components(kind) if entry.plugin in FIRST_PARTY]


def title(kind: str) -> str:
    """As a heading."""
    return WORDS.get(kind, plural(kind).capitalize())


def facts(component: Component) -> str:
    """Where a component can be used, as far as it says so."""
    known = {
        "task": getattr(component, "task", ""),
        "tasks": ", ".join(getattr(component, "tasks", ())),
        "only": "" if len(dims := getattr(component, "spatial_dims", ())) != 1 else f"{dims[0]}D",
        "files": " ".join(getattr(component, "suffixes", ())),
    }
    return "".join(f"; {label}: {text}" for label, text in known.items() if text)


def settings_table(component: Component) -> Iterator[str]:
    """Its settings, as a table."""
    if not component.config.model_fields:
        return
    yield from ("", "| setting | type | default | meaning |", "|---|---|---|---|")
    for name, field in component.config.model_fields.items():
        cells = (f"`{name}`", type_name(field.annotation), f"`{default_text(field)}`", field.description or "")
        yield "| " + " | ".join(map(cell, cells)) + " |"


def run_settings(component: Component) -> Iterator[str]:
    """What it sets in the rest of the run."""
    for label in ("defaults", "settings"):
        values: Any = getattr(component, label, None)
        if values:
            yield from ("", f"{label.capitalize()} of the run:", "", "```yaml")
            yield yaml.safe_dump(plain(values), sort_keys=False, default_flow_style=None, width=110).rstrip()
            yield "```"


def cell(text: str) -> str:
    """Text that does not end a cell of a table, or open a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def command_page() -> str:
    """Every command with its arguments and options."""
    command = typer.main.get_command(app)
    about = "`im2im COMMAND --help` shows the same. `--debug` with any command shows the traceback of an error."
    lines = ["# Command line", "", about]
    for path, each in commands(command, "im2im"):
        lines += ["", f"## {path}", "", (each.help or "").strip(), "", "```text", usage(path, each), "```"]
        rows = [parameter_row(parameter) for parameter in each.params if not getattr(parameter, "hidden", False)]
        if rows:
            lines += ["", "| | meaning | default |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The commands below one, groups before what is in them."""
    for name, each in getattr(command, "commands", {}).items():
        yield f"{path} {name}", each
        yield from commands(each, f"{path} {name}")


def usage(path: str, command: Any) -> str:
    """As the first line of its help."""
    words = [parameter.name.upper() for parameter in command.params if parameter.param_type_name == "argument"]
    return " ".join([path, *(["COMMAND"] if hasattr(command, "commands") else []), "[OPTIONS]", *words])


def parameter_row(parameter: Any) -> str:
    """One argument or option of a command."""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    said = parameter.default not in (None, False, "", ()) and not callable(parameter.default)
    default = "needed" if parameter.required else f"`{parameter.default}`" if said else ""
    return f"| {names} | {cell(getattr(parameter, 'help', None) or '')} | {cell(default)} |"


def pages() -> dict[str, str]:
    """Each page's file name with its text."""
    registry = Registry.discover()
    kinds = {f"{plural(kind)}.md": kind_page(registry, kind) for kind in KINDS}
    return {"command-line.md": command_page(), "components.md": overview_page(registry), **kinds}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        logging.info("%s", FOLDER / name)
