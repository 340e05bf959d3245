"""`im2im schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schema(
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; by default it is printed.", show_default=False)
    ] = None,
) -> None:
    """Print the JSON Schema of a run's YAML file, with which editors complete and check it."""
    import json

    from im2im_core.cli.console import console
    from im2im_core.files import write_text
    from im2im_core.registry import Registry
    from im2im_core.run_schema import run_schema

    text = json.dumps(run_schema(Registry.discover()), indent=1)
    if out is None:
        typer.echo(text)
        return
    write_text(out, text + "\n")
    console().print(f"wrote {out}; first line of a YAML file: # yaml-language-server: $schema={out}", highlight=False)
