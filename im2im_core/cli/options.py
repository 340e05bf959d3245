"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from im2im_core.cli.completion import names_of

Model = Annotated[
    str | None,
    typer.Option("--model", help="Model, see im2im list models.", show_default=False, autocompletion=names_of("model")),
]
Data = Annotated[str | None, typer.Option("--data", help="Folder or CSV of training images.", show_default=False)]
Loss = Annotated[
    str | None,
    typer.Option(
        "--loss", help="Loss instead of the model's own.", show_default=False, autocompletion=names_of("loss")
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        help="Network instead of the model's own.",
        show_default=False,
        autocompletion=names_of("network"),
    ),
]
Discriminator = Annotated[
    str | None,
    typer.Option(
        "--discriminator",
        help="Discriminator instead of the model's own.",
        show_default=False,
        autocompletion=names_of("discriminator"),
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="Settings for a kind of data, see im2im list presets.",
        show_default=False,
        autocompletion=names_of("preset"),
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file of settings, see im2im init.", show_default=False)
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, as section.name=value; may be repeated.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
