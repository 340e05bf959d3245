"""`im2im list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from im2im_core.cli.completion import kinds
from im2im_core.cli.names import BORROWED_KINDS, component_rows, kind_of, plural

if TYPE_CHECKING:
    from im2im_core.registry import Registry


def list_components(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="readers, models, networks, losses, presets, ...; all when left out.",
            show_default=False,
            autocompletion=kinds,
        ),
    ] = None,
) -> None:
    """List what the installed plug-ins bring."""
    from rich.table import Table

    from im2im_core.cli.console import console
    from im2im_core.components import KINDS
    from im2im_core.registry import Registry

    registry = Registry.discover()
    chosen = [*KINDS, *BORROWED_KINDS] if kind is None else [kind_of(kind)]
    terminal = console()
    for each in chosen:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        table.add_column(no_wrap=True, style="dim")
        for name, summary, provider in component_rows(registry, each, everything=kind is not None):
            table.add_row(f"  {name}", summary, provider)
        terminal.print(plural(each), style="underline")
        terminal.print(table if table.row_count else "  none installed")
    _warn_of_broken(registry)


def _warn_of_broken(registry: Registry) -> None:
    for info in registry.plugins:
        if info.state == "broken":
            typer.echo(f"plug-in '{info.name}' is broken: {info.reason}", err=True)
