"""`im2im export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    bundle: Annotated[Path, typer.Argument(help="Bundle of a trained model, or the run that holds it.")],
    form: Annotated[str, typer.Option("--format", help="torchscript, onnx or bioimageio.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; by default named after the model.", show_default=False)
    ] = None,
) -> None:
    """Write a trained network for other software, and check it there."""
    from im2im_core.bundle import open_bundle
    from im2im_core.cli.console import console
    from im2im_core.export import SUFFIXES, check_form, export_bundle
    from im2im_core.files import check_writable
    from im2im_core.registry import Registry

    check_form(form)
    opened = open_bundle(bundle, Registry.discover())
    path = out or Path(f"{opened.config.model.component.name}{SUFFIXES[form]}")
    check_writable(path.absolute().parent)
    done = export_bundle(opened, form, path)
    terminal = console()
    terminal.print(f"exported: {done.path}", highlight=False)
    sizes = "any size" if done.step == 1 else f"sizes that are multiples of {done.step}"
    terminal.print(
        f"checked in its own runtime: differs by {done.difference:.1g} of the output's spread; takes {sizes}",
        highlight=False,
    )
    terminal.print("input: preprocessed images; output: the network's, before post-processing", highlight=False)
