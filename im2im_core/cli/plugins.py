"""`im2im plugins`."""

from __future__ import annotations


def plugins() -> None:
    """List the installed plug-ins, what they bring, and why some do not work."""
    from rich.table import Table
    from rich.text import Text

    from im2im_core.cli.console import console
    from im2im_core.cli.list import plural
    from im2im_core.components import KINDS
    from im2im_core.registry import Registry

    registry = Registry.discover()
    table = Table("plug-in", "distribution", "API", "state", "brings", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for info in registry.plugins:
        counts = {kind: sum(entry.plugin == info.name for entry in registry.components(kind)) for kind in KINDS}
        brings = ", ".join(f"{n} {kind if n == 1 else plural(kind)}" for kind, n in counts.items() if n)
        colour = {"active": "green", "disabled": "yellow", "broken": "red"}[info.state]
        table.add_row(
            info.name,
            f"{info.distribution} {info.version}".strip() or info.module,
            "" if info.api is None else str(info.api),
            Text(info.state, style=colour),
            brings if info.state == "active" else info.reason,
        )
    console().print(table)
