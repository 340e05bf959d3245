"""`im2im new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from im2im_core.cli.completion import template_kinds

app = typer.Typer(help="Start something of your own.", no_args_is_help=True)


@app.callback()
def new() -> None:
    """Start something of your own: a plug-in."""


@app.command()
def plugin(
    name: Annotated[str, typer.Argument(help="Of the plug-in and what it brings, such as my-method.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            help="What it brings: model (with a network and a loss), network, loss, preset (with a model), transform, "
            "postprocessor, metric, reader, writer (with a reader), dataset, discriminator, trainer. May be repeated.  "
            "[default: model]",
            show_default=False,
            autocompletion=template_kinds,
        ),
    ] = None,
    license_name: Annotated[str, typer.Option("--license", help="MIT, BSD-3-Clause or none.")] = "MIT",
    author: Annotated[str, typer.Option("--author", help="Who holds the rights.")] = "The authors",
    out: Annotated[Path, typer.Option("--out", help="Folder in which the package's folder is made.")] = Path(),
) -> None:
    """Write a package that installs, passes the conformance kit and trains before a line is changed."""
    from im2im_core.cli.console import console
    from im2im_core.plugin_template import new_plugin

    package = new_plugin(name, tuple(kind or ("model",)), out, license_name=license_name, author=author)
    terminal = console()
    terminal.print(f"made {package}; next:", highlight=False)
    for line in (f'pip install -e "{package}[test]"', f"im2im plugins check {name}", f"pytest {package}"):
        terminal.print(f"    {line}", highlight=False)
