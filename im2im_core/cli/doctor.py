"""`im2im doctor`."""

from __future__ import annotations

import typer


def doctor() -> None:
    """Look whether this computer can train and predict, and say what mends what it lacks."""
    from pathlib import Path

    from rich.table import Table
    from rich.text import Text

    from im2im_core.cli.console import console
    from im2im_core.diagnosis import diagnose
    from im2im_core.registry import Registry

    table = Table("what", "state", "found", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    findings = list(diagnose(Registry.discover(), Path.cwd()))
    for finding in findings:
        colour = {"ok": "green", "warning": "yellow", "error": "red"}[finding.state]
        table.add_row(finding.what, Text(finding.state, style=colour), finding.text)
        if finding.hint:
            table.add_row("", "", f"hint: {finding.hint}")
    console().print(table)
    if any(finding.state == "error" for finding in findings):
        raise typer.Exit(1)
